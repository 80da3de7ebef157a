/* SPDX-License-Identifier: MIT */
/*
 * gen_spte.c - writes docs/SPTE.md and its figures from the layout structs of
 * core/entry.c.
 *
 *	gen_spte --write DIR   write SPTE.md and the SVG files into DIR
 *	gen_spte --check DIR   exit 1 if one of them is not what would be written
 *
 * Every position, mask and value of ours is computed, so that neither text nor pictures
 * can disagree with the code. What bits are called is in spte_doc.c, the pictures are
 * spte_svg.c's.
 */
#include "tools/spte_doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define G ENTRY_GENERATIONS

static const char *hex(uint64_t value)
{
	static char text[16][24];
	static unsigned next;
	char *to = text[next++ % 16];

	snprintf(to, sizeof(*text), value >> 32 ? "`0x%016" PRIx64 "`" : "`0x%" PRIx64 "`", value);
	return to;
}

/* "62:52, 9:3" */
static const char *ranges(uint64_t mask)
{
	static char text[8][64];
	static unsigned next;
	char *to = text[next++ % 8];
	size_t used = 0;

	if (!mask)
		return "-";
	for (int bit = 63; bit >= 0; bit--) {
		int low = bit;

		if (!(mask >> bit & 1))
			continue;
		while (low && (mask >> (low - 1) & 1))
			low--;
		used += (size_t)snprintf(to + used, sizeof(*text) - used,
					 low < bit ? "%s%d:%d" : "%s%d", used ? ", " : "", bit,
					 low);
		bit = low;
	}
	return to;
}

static bool same_use(use_fn *use, bool ept, unsigned a, unsigned b)
{
	for (unsigned g = 0; g < G; g++) {
		if (strcmp(use(g, ept, a), use(g, ept, b)) != 0)
			return false;
	}
	return true;
}

/* One row for each run of bits that the hardware and all generations treat alike. */
static void bit_table(use_fn *use, bool ept)
{
	put("| bits | hardware |");
	for (unsigned g = 0; g < G; g++)
		put(" %s |", entry_layout(g, ept)->generation);
	put("\n|---|---|---|---|---|\n");
	for (const struct hardware *h = ept ? ept_hardware : other_hardware; h->name; h++) {
		unsigned high = h->high;

		while (1) {
			unsigned low = high;

			while (low > h->low && same_use(use, ept, high, low - 1))
				low--;
			put("| %s | %s |", ranges((2ull << high) - (1ull << low)), h->name);
			for (unsigned g = 0; g < G; g++)
				put(" %s |", use(g, ept, high));
			put("\n");
			if (low == h->low)
				break;
			high = low - 1;
		}
	}
	put("\n");
}

/* ---- tables of masks and values ---- */

static void heading(const char *first)
{
	put("| %s |", first);
	for (unsigned g = 0; g < G; g++)
		put(" %s |", entry_layout(g, true)->generation);
	put("\n|---|---|---|---|\n");
}

typedef uint64_t value_fn(unsigned generation, bool ept);

static void value_row(const char *name, value_fn *value, bool ept)
{
	put("| %s |", name);
	for (unsigned g = 0; g < G; g++)
		put(" %s |", hex(value(g, ept)));
	put("\n");
}

static uint64_t v_nonpresent(unsigned g, bool ept)
{
	return entry_layout(g, ept)->nonpresent;
}

static uint64_t v_frozen(unsigned g, bool ept)
{
	return entry_layout(g, ept)->frozen;
}

static uint64_t v_ad_disabled(unsigned g, bool ept)
{
	return (uint64_t)ENTRY_AD_DISABLED << entry_layout(g, ept)->ad_shift;
}

static uint64_t v_ad_wrprot(unsigned g, bool ept)
{
	return (uint64_t)ENTRY_AD_WRPROT << entry_layout(g, ept)->ad_shift;
}

static uint64_t v_saved(unsigned g, bool ept)
{
	const struct entry_layout *l = entry_layout(g, ept);

	return l->saved_mask << l->saved_shift;
}

static uint64_t v_track_clear(unsigned g, bool ept)
{
	return entry_layout(g, ept)->track_clear;
}

static uint64_t v_host(unsigned g, bool ept)
{
	return entry_layout(g, ept)->host_writable;
}

static uint64_t v_mmu(unsigned g, bool ept)
{
	return entry_layout(g, ept)->mmu_writable;
}

static uint64_t v_allowed(unsigned g, bool ept)
{
	return entry_layout(g, ept)->mmio_allowed;
}

static uint64_t v_generation(unsigned g, bool ept)
{
	return generation_mask(entry_layout(g, ept));
}

/* Worked values: pfn 0x12345, everything allowed and set. */
static struct entry_leaf full(void)
{
	return (struct entry_leaf){
		.pfn = {0x12345},
		.level = 1,
		.acc = ACC_ALL,
		.host_writable = true,
		.mmu_writable = true,
		.accessed = true,
		.dirty = true,
	};
}

static uint64_t leaf(unsigned g, bool ept, struct entry_leaf what)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_make_leaf(&kind, &what);
}

static uint64_t w_full(unsigned g, bool ept)
{
	return leaf(g, ept, full());
}

static uint64_t w_read_only(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.host_writable = false;
	return leaf(g, ept, what);
}

static uint64_t w_nx_read_only(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.host_writable = false;
	what.acc = ACC_READ | ACC_USER;
	return leaf(g, ept, what);
}

static uint64_t w_dirty_logged(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_protect(&kind, w_full(g, ept), false);
}

static uint64_t w_shadowed(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_protect(&kind, w_full(g, ept), true);
}

static uint64_t w_huge(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.level = 2;
	what.pfn.v = 0x12200;
	what.acc = ACC_READ | ACC_WRITE;
	return leaf(g, ept, what);
}

static uint64_t w_gmet(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.acc = ACC_READ | ACC_WRITE | ACC_EXEC;
	return leaf(g, ept, what);
}

static uint64_t w_key(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.key = 5;
	return leaf(g, ept, what);
}

static uint64_t w_table(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_make_table(&kind, (umbra_hpa){0x12345000}, ENTRY_AD_ENABLED);
}

static uint64_t w_pdpte(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_make_pdpte(&kind, (umbra_hpa){0x12345000});
}

static uint64_t w_disabled(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.ad = ENTRY_AD_DISABLED;
	return leaf(g, ept, what);
}

static uint64_t w_tracked(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_track(&kind, w_disabled(g, ept));
}

static uint64_t w_restored(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_untrack(&kind, w_tracked(g, ept));
}

static uint64_t w_wrprot(unsigned g, bool ept)
{
	struct entry_leaf what = full();

	what.ad = ENTRY_AD_WRPROT;
	return leaf(g, ept, what);
}

static uint64_t w_mmio(unsigned g, bool ept)
{
	struct entry_kind kind = bind(g, ept, true);

	return entry_make_mmio(&kind, (umbra_gfn){0xfee00}, ACC_WRITE | ACC_USER, 2);
}

static uint64_t w_mmio_l1tf(unsigned g, bool ept)
{
	struct entry_config config = {
		.generation = g, .ept = ept, .maxphyaddr = 44, .l1tf_cache_bits = 44};
	struct entry_kind kind;

	entry_bind(&kind, &config);
	return entry_make_mmio(&kind, (umbra_gfn){0x10001234}, 0, 5);
}

/* ---- chapters ---- */

static void show(const char *file)
{
	for (const struct figure *figure = figures; figure->file; figure++) {
		if (!strcmp(figure->file, file))
			put("![%s](%s)\n\n", figure->title, file);
	}
}

static void intro(void)
{
	put("<!-- Written by tools/gen_spte.c from core/entry.c; do not edit. -->\n"
	    "# The entries that Umbra writes\n\n"
	    "An SPTE is an entry of a table that the hardware walks and Umbra wrote. Where its\n"
	    "software bits lie changed twice in KVM's history, so Umbra knows three layouts: "
	    "`6.12`\n"
	    "(Linux 6.12), `004` (MMIO generations of 18 bits, bit 10 left to the hardware) and "
	    "`7.3`\n"
	    "(EPT software bits moved, user execute in use), each for EPT entries and for all "
	    "others\n"
	    "(shadow paging and NPT). `%s` is what Umbra writes. `umbra decode spte` explains "
	    "values\n"
	    "of any of them.\n\n"
	    "Rule numbers are those of the facts sheet. Bits in **bold** are software's: the "
	    "hardware\n"
	    "ignores them. A bit under `0` is written as 0.\n\n",
	    entry_layout(G - 1, true)->generation);
}

static void state_chapter(void)
{
	put("## What an entry is\n\n"
	    "In this order (Q-6 to Q-9, Q-25):\n\n"
	    "1. bit %s (MMU-present) is 1: a leaf at level 1 or with bit %s, else a table;\n"
	    "2. its bits under the MMIO mask equal the MMIO value: MMIO;\n"
	    "3. it equals the frozen value: a writer owns it, everybody else tries again;\n"
	    "4. it equals the empty value: nothing is mapped. Anything else is never written.\n\n"
	    "MMU-present is not the hardware's present bit: an access-tracked EPT entry has no\n"
	    "rights, and is present to us.\n\n",
	    ranges(entry_layout(0, true)->mmu_present), ranges(entry_layout(0, true)->large));
	heading("value");
	value_row("empty (nonpresent), all vendors", v_nonpresent, true);
	value_row("frozen", v_frozen, true);
	put("\nEmpty entries of a PAE root are 0, because some CPUs check the reserved bits of "
	    "PDPTEs\n"
	    "that are not present (H-20). In EPT, bit 63 of an entry that is not present "
	    "suppresses\n"
	    "#VE (Q-41).\n\n");
}

static void reuse_chapter(void)
{
	put("## Bits that the hypervisor reuses\n\n"
	    "The hardware ignores these unless the control named is on; Umbra and KVM leave it "
	    "off\n"
	    "wherever the layout uses the bit.\n\n"
	    "| EPT bit | hardware, if enabled |");
	for (unsigned g = 0; g < G; g++)
		put(" %s |", entry_layout(g, true)->generation);
	put("\n|---|---|---|---|---|\n");
	for (const struct hardware *h = ept_hardware; h->name; h++) {
		bool used = false;

		if (h->low < 52 || h->high == 63 || !strcmp(h->name, "ignored"))
			continue;
		for (unsigned g = 0; g < G; g++)
			used |= use_present(g, true, h->low)[0] == '*';
		if (!used)
			continue;
		put("| %u | %s |", h->low, h->name);
		for (unsigned g = 0; g < G; g++) {
			const char *use = use_present(g, true, h->low);

			put(" %s |", use[0] == '*' ? use : "free");
		}
		put("\n");
	}
	put("\n");
}

static void mask_chapter(void)
{
	put("## Software bits of EPT entries\n\n");
	heading("mask");
	value_row("host-writable (Q-3)", v_host, true);
	value_row("MMU-writable (Q-3)", v_mmu, true);
	value_row("A/D type 1, disabled (Q-1)", v_ad_disabled, true);
	value_row("A/D type 2, write-protect (Q-1)", v_ad_wrprot, true);
	value_row("saved rights (Q-2)", v_saved, true);
	value_row("cleared by access tracking (Q-5)", v_track_clear, true);
	put("\nOther entries have host-writable %s and MMU-writable %s in every layout, no A/D "
	    "type (the\n"
	    "hardware always has A and D) and no access tracking.\n\n",
	    hex(v_host(0, false)), hex(v_mmu(0, false)));
}

static void writable_chapter(void)
{
	static const char *const meaning[8] = {
		[7] = "may be written",
		[6] = "write protected for dirty logging or access tracking; a fault may set W at "
		      "once",
		[4] = "write protected because a guest table is shadowed there",
		[0] = "read-only for the embedder: slot or host mapping",
	};
	struct entry_kind kind = bind(G - 1, true, true);

	put("## Who may write (Q-10)\n\n"
	    "| host-writable | MMU-writable | W | |\n|---|---|---|---|\n");
	for (unsigned i = 8; i-- > 0;) {
		uint64_t entry = (i & 4 ? kind.layout->host_writable : 0) |
				 (i & 2 ? kind.layout->mmu_writable : 0) |
				 (i & 1 ? kind.layout->write : 0);
		bool legal = entry_writable_state_ok(&kind, entry);

		if (legal != !!meaning[i])
			abort();
		put("| %u | %u | %u | %s |\n", i >> 2, i >> 1 & 1, i & 1,
		    legal ? meaning[i] : "a bug");
	}
	put("\nA TLB may still write while W is 0 and MMU-writable is 1; clearing MMU-writable "
	    "therefore\n"
	    "always needs a flush (Q-14).\n\n");
}

static void mmio_chapter(void)
{
	struct entry_kind ept = bind(G - 1, true, true), other = bind(G - 1, false, true);

	put("## MMIO entries\n\n"
	    "They fault by design, and tell the fault handler what it would otherwise have to "
	    "look\n"
	    "up: frame, rights and the generation of the memory slots that they were made under\n"
	    "(Q-20 to Q-28). Below for MAXPHYADDR = 46.\n\n"
	    "| | EPT | others |\n|---|---|---|\n"
	    "| value | %s: W and X without R, a misconfiguration | %s: a reserved address bit |\n"
	    "| mask | %s | %s |\n| rights kept | %s | %s |\n"
	    "| possible if | always | MAXPHYADDR < 52 |\n\n",
	    hex(ept.mmio_value), hex(other.mmio_value), hex(ept.mmio_mask), hex(other.mmio_mask),
	    hex(ept.mmio_access), hex(other.mmio_access));
	heading("");
	put("| bits of the generation |");
	for (unsigned g = 0; g < G; g++) {
		struct entry_kind kind = bind(g, true, true);

		put(" %u |", entry_generation_bits(&kind));
	}
	put("\n");
	value_row("where they lie (Q-22)", v_generation, true);
	value_row("what value and mask may use (Q-21)", v_allowed, true);
	put("\n### EPT\n\n");
	show("spte-mmio-ept.svg");
	bit_table(use_mmio, true);
	put("### Others\n\n");
	show("spte-mmio-npt.svg");
	bit_table(use_mmio, false);
	put("On a CPU with L1TF whose caches hold C < 47 address bits, bits C-1 to C-5 are all 1, "
	    "and\n"
	    "the address bits that belong there lie 5 bits higher (Q-26):\n\n");
	show("spte-mmio-l1tf.svg");
}

static void worked_chapter(void)
{
	put("## Worked values\n\n"
	    "Frame 0x12345 (2M: 0x12200), all rights, A and D set, writable, unless said "
	    "otherwise.\n\n"
	    "### EPT, write-back\n\n");
	heading("entry");
	value_row("4K", w_full, true);
	value_row("4K, read-only for the host", w_read_only, true);
	value_row("4K, protected for dirty logging", w_dirty_logged, true);
	value_row("4K, protected for shadowing", w_shadowed, true);
	value_row("2M, not executable", w_huge, true);
	value_row("table at 0x12345000", w_table, true);
	value_row("4K, A/D disabled", w_disabled, true);
	value_row("... access-tracked", w_tracked, true);
	value_row("... restored by a read", w_restored, true);
	value_row("4K, A/D type write-protect", w_wrprot, true);
	value_row("MMIO, gfn 0xfee00, generation 2", w_mmio, true);
	value_row("MMIO with L1TF (44 bits), gfn 0x10001234, generation 5", w_mmio_l1tf, true);
	put("\n### Others\n\n");
	heading("entry");
	value_row("4K", w_full, false);
	value_row("4K, read-only and not executable", w_nx_read_only, false);
	value_row("4K, U = 0 (GMET, or a supervisor page)", w_gmet, false);
	value_row("4K, key 5", w_key, false);
	value_row("2M, not executable", w_huge, false);
	value_row("table at 0x12345000", w_table, false);
	value_row("PDPTE of a PAE root, table at 0x12345000", w_pdpte, false);
	value_row("MMIO, gfn 0xfee00, user write, generation 2", w_mmio, false);
}

static void write_document(void)
{
	intro();
	state_chapter();
	put("## Present entries, shadow paging and NPT\n\n");
	show("spte-npt.svg");
	bit_table(use_present, false);
	put("## Present entries, EPT\n\n");
	show("spte-ept.svg");
	bit_table(use_present, true);
	mask_chapter();
	reuse_chapter();
	writable_chapter();
	mmio_chapter();
	worked_chapter();
}

/* ---- files ---- */

static bool same_text(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (fgetc(file) != (unsigned char)*text)
			return false;
	}
	return fgetc(file) == EOF;
}

/* The document goes to @folder/@name, or is compared with what is there. */
static int finish(const char *folder, const char *name, bool check)
{
	char path[4096];
	FILE *file;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, check ? "rb" : "wb");
	if (!file) {
		fprintf(stderr, "gen_spte: cannot %s %s\n", check ? "read" : "write", path);
		return 1;
	}
	good = check ? same_text(file, doc_text()) : fputs(doc_text(), file) != EOF;
	good = !fclose(file) && good;
	if (!good && check)
		fprintf(stderr, "gen_spte: %s is stale, write it anew: gen_spte --write %s\n", path,
			folder);
	else if (!good)
		fprintf(stderr, "gen_spte: cannot write %s\n", path);
	return !good;
}

int main(int argc, char **argv)
{
	bool check = argc == 3 && !strcmp(argv[1], "--check");
	int status = 0;

	if (!check && (argc != 3 || strcmp(argv[1], "--write") != 0)) {
		fprintf(stderr, "usage: gen_spte --write DIR | --check DIR\n");
		return 2;
	}
	doc_begin();
	write_document();
	status |= finish(argv[2], "SPTE.md", check);
	for (const struct figure *figure = figures; figure->file; figure++) {
		doc_begin();
		draw(figure);
		status |= finish(argv[2], figure->file, check);
	}
	return status;
}
