/* SPDX-License-Identifier: MIT */
/*
 * test_bits.c - the describer behind `umbra decode`.
 *
 * Against core: what entry.c makes has no findings, and every bit that mode_bind()
 * reserves is found, with a reason of its own. Against itself: any value in any
 * configuration gives a report in which every set bit has a name (seeded, the
 * seed is printed). Plus the worked values of the facts sheet.
 */
#include "cli/bits.h"
#include "core/entry.h"
#include "core/mode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct bits_report report; /* too large for comfort on a stack */

static struct bits_request request(enum bits_kind kind, bool amd)
{
	struct bits_request r;

	bits_defaults(&r, amd);
	r.kind = kind;
	return r;
}

static const struct bits_field *field(const char *name)
{
	for (unsigned i = 0; i < report.field_count; i++) {
		if (!strcmp(report.field[i].name, name))
			return &report.field[i];
	}
	fail_msg("no field %s in: %s", name, report.summary);
	return NULL;
}

static bool has(const char *name)
{
	for (unsigned i = 0; i < report.field_count; i++) {
		if (!strcmp(report.field[i].name, name))
			return true;
	}
	return false;
}

static bool found(const char *text)
{
	for (unsigned i = 0; i < report.finding_count; i++) {
		if (strstr(report.finding[i].text, text))
			return true;
	}
	return false;
}

/* ---- what entry.c makes ---- */

static enum bits_mode spte_mode(bool ept, bool pae)
{
	return ept ? BITS_MODE_EPT : pae ? BITS_MODE_PAE : BITS_MODE_SHADOW;
}

static void no_findings(const struct bits_request *r, uint64_t entry)
{
	bits_describe(r, entry, &report);
	if (report.finding_count)
		fail_msg("layout %u mode %u level %u 0x%lx: %s", r->generation, r->mode, r->level,
			 entry, report.finding[0].text);
}

static void check_leaf(const struct entry_kind *kind, struct bits_request *r, unsigned i)
{
	struct entry_leaf leaf = {
		.pfn = {0x40000},
		.level = 1 + i % 3,
		.acc = i / 3 % 16,
		.ad = (enum entry_ad)(i / 48 % 3),
		.host_writable = i / 144 & 1,
		.mmu_writable = i / 144 & 2,
		.accessed = i / 144 & 4,
		.dirty = i / 144 & 8,
		.key = i / 144 & 15,
	};
	uint64_t entry;

	/* The root of PAE maps no 1G pages. */
	if (kind->pae && leaf.level == 3)
		return;
	r->level = leaf.level;
	entry = entry_make_leaf(kind, &leaf);
	no_findings(r, entry);
	assert_int_equal(field("pfn")->value, 0x40000000);
	assert_int_equal(has("W"), entry_is_writable(kind, entry));
	assert_int_equal(has("host-writable"), leaf.host_writable);
	assert_int_equal(has("MMU-writable"), entry_is_mmu_writable(kind, entry));
	assert_int_equal(has("PS"), leaf.level > 1);
	no_findings(r, entry_protect(kind, entry, false));
	no_findings(r, entry_protect(kind, entry, true));
	no_findings(r, entry_track(kind, entry));
	no_findings(r, entry_untrack(kind, entry_track(kind, entry)));
	/* The other writable states are all found. */
	if (!leaf.host_writable) {
		bits_describe(r, entry | kind->layout->write | (kind->layout->ept ? 1 : 0),
			      &report);
		assert_true(found("not a legal state"));
	}
}

static void check_others(const struct entry_kind *kind, struct bits_request *r)
{
	for (r->level = 2; r->level <= (kind->pae ? 2 : 5); r->level++) {
		no_findings(r, entry_make_table(kind, (umbra_hpa){0x12345000}, ENTRY_AD_ENABLED));
		no_findings(r, entry_make_table(kind, (umbra_hpa){0x12345000}, ENTRY_AD_DISABLED));
		assert_int_equal(field("table")->value, 0x12345000);
	}
	r->level = 3;
	if (kind->pae)
		no_findings(r, entry_make_pdpte(kind, (umbra_hpa){0x12345000}));
	r->level = 1;
	no_findings(r, entry_empty(kind, false));
	assert_non_null(strstr(report.summary, "empty"));
	no_findings(r, kind->layout->frozen);
	assert_non_null(strstr(report.summary, "frozen"));
	if (!entry_mmio_possible(kind))
		return;
	for (unsigned acc = 0; acc < 16; acc++) {
		no_findings(r, entry_make_mmio(kind, (umbra_gfn){0xfee00}, acc, 0x12345));
		assert_non_null(strstr(report.summary, "MMIO: gfn 0xfee00, generation 0x12345"));
	}
}

static void test_made(void **state)
{
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < ENTRY_GENERATIONS * 32; i++) {
		unsigned flags = i / ENTRY_GENERATIONS;
		bool ept = flags & 1, pae = flags & 2;
		struct entry_config config = {
			.generation = i % ENTRY_GENERATIONS,
			.ept = ept,
			.ad = flags & 4,
			.exec_only = flags & 8,
			.pae = pae && !ept,
			.maxphyaddr = 46,
			.l1tf_cache_bits = flags & 16 ? 46 : 0,
		};
		struct bits_request r = request(BITS_SPTE, !ept);
		struct entry_kind kind;

		entry_bind(&kind, &config);
		r.maxphyaddr = 46;
		r.mode = spte_mode(ept, pae);
		r.generation = config.generation;
		r.l1tf = config.l1tf_cache_bits;
		r.flags = config.ad ? r.flags | MODE_AD : r.flags & ~MODE_AD;
		r.flags = config.exec_only ? r.flags | MODE_EXECONLY : r.flags & ~MODE_EXECONLY;
		for (unsigned n = 0; n < 3 * 16 * 3 * 16; n++, count++)
			check_leaf(&kind, &r, n);
		check_others(&kind, &r);
	}
	print_message("# %u leaves\n", count);
}

/* ---- reserved bits ---- */

/* One reserved bit at a time: found, named, and not by the catch-all. */
static unsigned check_reserved(const struct bits_request *r, const struct format *format,
			       uint32_t flags)
{
	struct bits_request at = *r;
	unsigned count = 0;
	struct mode mode;

	mode_bind(&mode, format, flags, r->maxphyaddr);
	for (at.level = 1; at.level <= format->top; at.level++) {
		const struct mode_level *level = &mode.level[at.level];

		for (unsigned i = 0; i < 2 * format->entry_bytes * 8u; i++) {
			bool large = i & 1 && level->large;
			uint64_t bit = 1ull << i / 2, entry = (large ? level->large : 0) | bit | 1;
			bool reserved = level->rsvd[!!(entry & level->large)] & entry;

			if (format->family == FORMAT_EPT && (large || at.level == 1))
				entry |= 6 << 3; /* a legal memory type */
			bits_describe(&at, entry, &report);
			if (reserved != found("reserved bit"))
				fail_msg("%s level %u 0x%lx: %s", format->name, at.level, entry,
					 reserved ? "not found" : "wrongly found");
			if (found("reserved bit"))
				assert_true(has("reserved") || (entry & level->large));
			if (found(" entry of level"))
				fail_msg("%s level %u 0x%lx: no reason", format->name, at.level,
					 entry);
			count++;
		}
	}
	return count;
}

static void test_reserved(void **state)
{
	static const enum bits_mode modes[] = {BITS_MODE_32, BITS_MODE_PAE, BITS_MODE_4,
					       BITS_MODE_5};
	static const struct format *const formats[] = {&format_32, &format_pae, &format_4,
						       &format_5};
	static const uint8_t widths[] = {32, 36, 39, 46, 52};
	static const uint32_t toggles[] = {0,          MODE_NX, MODE_1G,       MODE_PSE,
					   MODE_PSE36, MODE_2M, MODE_BIT8_MBZ, MODE_AD};
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(widths) * 8; i++) {
		struct bits_request r = request(BITS_PTE, i & 1);

		r.maxphyaddr = widths[i / 8];
		r.flags ^= toggles[i % 8];
		for (unsigned f = 0; f < 4; f++) {
			r.mode = modes[f];
			r.kind = BITS_PTE;
			count += check_reserved(&r, formats[f], r.flags);
			r.kind = BITS_NPT;
			count += check_reserved(&r, formats[f], r.flags | MODE_NPT);
		}
		r.kind = BITS_EPT;
		r.mode = BITS_MODE_4;
		count += check_reserved(&r, &format_ept4, r.flags);
		r.mode = BITS_MODE_5;
		count += check_reserved(&r, &format_ept5, r.flags);
	}
	print_message("# %u entries\n", count);
}

/* E-4: the 64 low values with and without execute-only, user execute by MBEC. */
static void test_ept_low6(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64 * 4; i++) {
		uint64_t low = i % 64, bitmap = i & 64 ? 0xff444444ffff4444 : 0xff545454ffff5454;
		struct bits_request r = request(BITS_EPT, false);

		r.flags = i & 64 ? r.flags | MODE_EXECONLY : r.flags & ~MODE_EXECONLY;
		r.flags |= i & 128 ? MODE_MBEC : 0;
		bits_describe(&r, low | 0x1000, &report);
		/* Not present without any right, so not misconfigured either. */
		assert_int_equal(report.finding_count > 0, (low & 7) && (bitmap >> low & 1));
		if (!(i & 128))
			continue;
		bits_describe(&r, low | 0x1400, &report);
		assert_int_equal(report.finding_count > 0, bitmap >> (low | 4) & 1);
	}
}

/* ---- worked values ---- */

static void test_sptes(void **state)
{
	struct bits_request r = request(BITS_SPTE, false);

	(void)state;
	bits_describe(&r, 0x80a0000012345f37, &report);
	assert_int_equal(report.finding_count, 0);
	assert_int_equal(field("pfn")->value, 0x12345000);
	assert_int_equal(field("memtype")->value, 6);
	assert_int_equal(field("MMU-writable")->low, 55);
	bits_describe(&r, 0xd0f0000012345a30, &report);
	assert_non_null(strstr(report.summary, "access-tracked"));
	assert_int_equal(field("saved-XU")->low, 62);
	assert_int_equal(field("A/D-type")->value, 1);
	r.generation = 0;
	bits_describe(&r, 0x8750000012345830, &report);
	assert_int_equal(report.finding_count, 0);
	assert_int_equal(field("saved-X")->low, 56);
	assert_int_equal(field("host-writable")->low, 57);
	/* The same value says something else, or nothing, in another layout. */
	r.generation = 2;
	bits_describe(&r, 0x8600000012345b37, &report);
	assert_true(found("which layout 7.3 does not use"));
	bits_describe(&r, 0x80000000000005a0, &report);
	assert_true(found("layout 7.3 freezes with"));
	bits_describe(&r, 0xb0a0000012345f37, &report);
	assert_true(found("A/D type 3"));
	bits_describe(&r, 0x00a0000012345f37, &report);
	assert_true(found("#VE"));
	bits_describe(&r, 0x1234, &report);
	assert_true(found("ever written"));
	bits_describe(&r, 0, &report);
	assert_true(found("#VE"));
	r = request(BITS_SPTE, true);
	bits_describe(&r, 0x80000fee00017, &report);
	assert_int_equal(report.finding_count, 0);
	assert_non_null(strstr(report.summary, "gfn 0xfee00, generation 0x2, rw user"));
	bits_describe(&r, 0x12345e7f, &report);
	assert_true(found("PWT, PCD and G"));
}

static void test_roles(void **state)
{
	/* B.5 */
	static const struct {
		unsigned generation;
		uint64_t value;
		const char *summary, *set, *clear;
	} rows[] = {
		{2, 0x6f84, "level 4, direct, rights read, write, user, exec", "cr0_wp",
		 "guest_mode"},
		{0, 0x3784, "level 4, direct, rights exec, write, user", "cr0_wp", "invalid"},
		{2, 0x66f05, "level 5, shadow", "passthrough", "direct"},
		{0, 0x61705, "level 5, shadow", "passthrough", "cr0_wp"},
		{2, 0x6f72, "level 2, shadow", "quadrant", "direct"},
		{0, 0x3772, "level 2, shadow", "quadrant", "direct"},
		{2, 0x130f04, "level 4, shadow", "cr4_smep", "cr0_wp"},
		{1, 0x13704, "level 4, shadow", "ad_disabled", "is_mirror"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bits_request r = request(BITS_ROLE, false);

		r.generation = rows[i].generation;
		bits_describe(&r, rows[i].value, &report);
		assert_int_equal(report.finding_count, 0);
		assert_non_null(strstr(report.summary, rows[i].summary));
		assert_true(has(rows[i].set));
		assert_false(has(rows[i].clear));
	}
}

static void test_codes(void **state)
{
	static const struct {
		enum bits_kind kind;
		uint64_t value;
		const char *summary, *finding; /* NULL: none */
	} rows[] = {
		{BITS_PFEC, 0x0, "supervisor read: not present", NULL},
		{BITS_PFEC, 0x7, "user write: denied by rights", NULL},
		{BITS_PFEC, 0x9, "supervisor read: reserved bit", NULL},
		{BITS_PFEC, 0x15, "user fetch", NULL},
		{BITS_PFEC, 0x25, "denied by a protection key", NULL},
		{BITS_PFEC, 0x47, "user shadow-stack write", NULL},
		{BITS_PFEC, 0x8, "", "RSVD without P"},
		{BITS_PFEC, 0x13, "", "W/R with I/D"},
		{BITS_PFEC, 0x20, "", "PK needs"},
		{BITS_PFEC, 0x35, "", "keys never deny fetches"},
		{BITS_PFEC, 0x51, "", "no fetch"},
		{BITS_PFEC, 0x80, "", "undefined bit 7"},
		{BITS_PFEC, 1ull << 48, "", "KVM's own"},
		{BITS_PFEC, 1ull << 32, "", "undefined bit 32"},
		{BITS_NPFCODE, 0x100000006, "on the final address", NULL},
		{BITS_NPFCODE, 0x200000007, "on a guest table", NULL},
		{BITS_NPFCODE, 0x300000007, "", "exactly one"},
		{BITS_NPFCODE, 0x7, "", "exactly one"},
		{BITS_NPFCODE, 0x100000003, "", "without GMET"},
		{BITS_NPFCODE, 0x200000005, "", "W/R must be 1"},
		{BITS_NPFCODE, 0x200000017, "", "I/D is 0"},
		{BITS_EPTQUAL, 0x181, "read of the final address, EPT rights ---", NULL},
		{BITS_EPTQUAL, 0x1aa, "write of the final address, EPT rights r-x", NULL},
		{BITS_EPTQUAL, 0x83, "read and write of a guest table", NULL},
		{BITS_EPTQUAL, 0x80, "", "bits 2:0 are 0"},
		{BITS_EPTQUAL, 0x101, "", "bit 8 must be 0"},
		{BITS_EPTQUAL, 0x84, "", "never fetched"},
		{BITS_EPTQUAL, 0x20181, "", "reserved bit 17"},
		{BITS_EPTP, 0x1234501e, "EPT of 4 levels at 0x12345000", NULL},
		{BITS_EPTP, 0x12345066, "EPT of 5 levels at 0x12345000, A/D on", NULL},
		{BITS_EPTP, 0x12345019, "", "memory type 1"},
		{BITS_EPTP, 0x1234500e, "", "walk length 2"},
		{BITS_EPTP, 0x1234509e, "", "bit 7 is reserved"},
		{BITS_EPTP, 0x1234521e, "", "reserved bit 9"},
		{BITS_EPTP, 0x40001234501e, "", "MAXPHYADDR is 46"},
		{BITS_CR3, 0x12345018, "4-level root at 0x12345000", NULL},
		{BITS_CR3, 0x400012345000, "", "MAXPHYADDR is 46"},
		{BITS_CR3, 1ull << 61, "", "reserved bit 61"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bits_request r = request(rows[i].kind, false);

		bits_describe(&r, rows[i].value, &report);
		if (!strstr(report.summary, rows[i].summary))
			fail_msg("0x%lx: %s", rows[i].value, report.summary);
		if (rows[i].finding ? !found(rows[i].finding) : report.finding_count > 0)
			fail_msg("0x%lx: %s", rows[i].value,
				 report.finding_count ? report.finding[0].text : "no finding");
	}
}

/* What a feature allows. */
static void test_features(void **state)
{
	struct bits_request r = request(BITS_CR3, false);

	(void)state;
	r.pcid = r.lam = true;
	bits_describe(&r, 0xe000000012345123, &report);
	assert_int_equal(report.finding_count, 0);
	assert_int_equal(field("PCID")->value, 0x123);
	assert_true(has("LAM_U57") && has("LAM_U48") && has("no-flush"));
	r.mode = BITS_MODE_PAE;
	bits_describe(&r, 0x12345fe0, &report);
	assert_int_equal(field("root")->value, 0x12345fe0);
	r.mode = BITS_MODE_32;
	bits_describe(&r, 0xffffffff12345000, &report);
	assert_int_equal(report.finding_count, 0);
	assert_int_equal(field("root")->value, 0x12345000);

	r = request(BITS_EPTP, false);
	r.ept_level5 = false;
	r.flags &= ~MODE_AD;
	bits_describe(&r, 0x12345066, &report);
	assert_true(found("no 5-level EPT") && found("no EPT accessed"));

	r = request(BITS_NPFCODE, true);
	r.flags |= MODE_GMET | MODE_ROGPT;
	bits_describe(&r, 0x100000011, &report);
	assert_int_equal(report.finding_count, 0);
	bits_describe(&r, 0x200000005, &report);
	assert_int_equal(report.finding_count, 0);

	r = request(BITS_EPTQUAL, false);
	bits_describe(&r, 0xf81, &report);
	assert_true(has("user-linear") && has("linear-writable") && has("linear-NX"));
	r.flags &= ~MODE_ADVINFO;
	bits_describe(&r, 0xf81, &report);
	assert_true(has("undefined") && !has("user-linear"));
	r.flags |= MODE_MBEC;
	bits_describe(&r, 0x1c1, &report);
	assert_true(has("XU") && has("XS"));

	r = request(BITS_PTE, false);
	r.flags |= MODE_PKU;
	bits_describe(&r, 0x2800000012345067, &report);
	assert_int_equal(field("key")->value, 5);
	/* PSE-36: the 4M page's high address lies below. */
	r = request(BITS_PTE, false);
	r.mode = BITS_MODE_32;
	r.level = 2;
	bits_describe(&r, 0x0041e0e3, &report);
	assert_non_null(strstr(report.summary, "4M page at 0xf00400000"));
	r.flags &= ~MODE_PSE;
	bits_describe(&r, 0x0041e0e3, &report);
	assert_non_null(strstr(report.summary, "table of level 1"));
	/* Not present: nothing is reserved. */
	r = request(BITS_PTE, true);
	bits_describe(&r, ~1ull, &report);
	assert_int_equal(report.finding_count, 0);
}

/* ---- any value ---- */

static uint64_t random64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static struct bits_request random_request(uint64_t *seed)
{
	struct bits_request r;
	uint64_t x = random64(seed);

	bits_defaults(&r, x & 1);
	r.kind = (enum bits_kind)(x / 2 % BITS_KINDS);
	r.mode = (enum bits_mode)(x / 32 % (BITS_MODE_SHADOW + 1));
	r.level = (unsigned)(x / 512 % 8);
	r.generation = (unsigned)(x / 4096 % ENTRY_GENERATIONS);
	r.maxphyaddr = (uint8_t)(32 + x / 65536 % 21);
	r.l1tf = (uint8_t)(x & 1u << 22 ? 36 + x / (1u << 23) % 17 : 0);
	r.flags = (uint32_t)(x >> 32);
	r.pcid = x & 1u << 28;
	r.lam = x & 1u << 29;
	r.ept_level5 = x & 1u << 30;
	return r;
}

/* Few bits, many bits, or an entry that nearly is one of ours. */
static uint64_t random_value(uint64_t *seed)
{
	uint64_t value = random64(seed), how = random64(seed) % 4;

	if (how == 0)
		return value;
	if (how == 1)
		return value & random64(seed) & random64(seed);
	if (how == 2)
		return 1ull << value % 64 | 1ull << value / 64 % 64 | (value >> 32 & 1);
	return (value & 0xfff) | 0x8000000012345000 | 1ull << value / 4096 % 64;
}

static void check_report(const struct bits_request *r, uint64_t value)
{
	uint64_t covered = 0;

	bits_describe(r, value, &report);
	assert_true(report.summary[0]);
	assert_true(report.field_count < BITS_FIELD_MAX && report.finding_count < BITS_FINDING_MAX);
	for (unsigned i = 0; i < report.field_count; i++) {
		const struct bits_field *f = &report.field[i];
		uint64_t mask = (f->high == 63 ? 0 : 2ull << (f->high & 63)) - (1ull << f->low);

		assert_true(f->name && f->name[0] && f->meaning[0]);
		assert_true(f->high < 64 && f->low <= f->high);
		assert_true(!i || f[-1].low <= f->low);
		assert_true(strlen(f->meaning) < BITS_TEXT - 1); /* not cut */
		covered |= mask;
	}
	for (unsigned i = 0; i < report.finding_count; i++) {
		assert_true(report.finding[i].rule && report.finding[i].text[0]);
		assert_true(strlen(report.finding[i].text) < BITS_TEXT - 1);
	}
	if (value & ~covered)
		fail_msg("kind %u mode %u level %u 0x%lx: bits 0x%lx have no name", r->kind,
			 r->mode, r->level, value, value & ~covered);
}

static void test_random(void **state)
{
	const char *scale = getenv("UMBRA_TEST_SCALE");
	unsigned count = scale && !strcmp(scale, "small") ? 50000 : 300000;
	uint64_t seed = 0x5eedb175;

	(void)state;
	print_message("# %u values, seed 0x%lx\n", count, seed);
	for (unsigned i = 0; i < count; i++) {
		struct bits_request r = random_request(&seed);
		uint64_t value = random_value(&seed);

		check_report(&r, bits_width(&r) == 32 ? (uint32_t)value : value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),     cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_ept_low6), cmocka_unit_test(test_sptes),
		cmocka_unit_test(test_roles),    cmocka_unit_test(test_codes),
		cmocka_unit_test(test_features), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
