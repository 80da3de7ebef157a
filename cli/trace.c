/* SPDX-License-Identifier: MIT */
/*
 * trace.c - finding the event and its fields in a line of a trace.
 *
 *	qemu-7 [001] 12.345678: kvm_mmu_set_spte: gfn 1f spte 80a000... (rwxu) level 1 at ffff...
 *	<----- whatever ------> <---- event ---> <key> <value> ...
 *
 * An event is a name and its keys; order and whatever else stands in the line do not
 * matter, so that old and new kernels, ftrace, trace-cmd and perf look alike. Numbers
 * are hexadecimal unless the key says decimal; 0x may stand before them. The text of
 * a page's role ("sp gen 0 gfn 1f l1 8-byte q0 direct wux nxe ad root 0 sync", facts
 * ) is put together to a role word again.
 */
#include "cli/trace.h"
#include "cli/trace_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define EVENT_KEYS 8

enum how {
	HEX = 1,
	DECIMAL,
	FLAGS, /* P|W|U|RSVD|F */
};

struct key {
	const char *text;
	enum trace_id id;
	enum how how;
	bool optional;
};

struct trace_event {
	const char *name, *sentence;
	bool role; /* the text of a role */
	struct key key[EVENT_KEYS];
};

/* An event, then a line for its keys. */
/* clang-format off */
static const struct trace_event events[] = {
	{"kvm_mmu_set_spte",
	 "an entry was written",
	 false,
	 {{"gfn", TRACE_GFN, HEX, false},
	  {"spte", TRACE_SPTE, HEX, false},
	  {"level", TRACE_LEVEL, DECIMAL, false},
	  {"at", TRACE_AT, HEX, true}}},
	{"mark_mmio_spte",
	 "an MMIO entry was made",
	 false,
	 {{"gfn", TRACE_GFN, HEX, false},
	  {"access", TRACE_ACCESS, HEX, false},
	  {"gen", TRACE_GENERATION, HEX, false}}},
	{"handle_mmio_page_fault",
	 "a fault on an MMIO entry, to be emulated",
	 false,
	 {{"addr", TRACE_ADDRESS, HEX, false},
	  {"gfn", TRACE_GFN, HEX, false},
	  {"access", TRACE_ACCESS, HEX, false}}},
	{"check_mmio_spte",
	 "may the MMIO entry be believed? (Q-25)",
	 false,
	 {{"spte", TRACE_SPTE, HEX, false},
	  {"kvm_gen", TRACE_KVM_GENERATION, HEX, false},
	  {"spte-gen", TRACE_SPTE_GENERATION, HEX, true},
	  {"valid", TRACE_VALID, DECIMAL, true}}},
	{"fast_page_fault",
	 "a fault handled without the MMU lock (F-15)",
	 false,
	 {{"vcpu", TRACE_VCPU, DECIMAL, true},
	  {"gva", TRACE_ADDRESS, HEX, true},
	  {"cr2_or_gpa", TRACE_ADDRESS, HEX, true},
	  {"error_code", TRACE_PFEC, FLAGS, false},
	  {"old", TRACE_OLD, HEX, false},
	  {"new", TRACE_NEW, HEX, false},
	  {"spurious", TRACE_SPURIOUS, DECIMAL, true},
	  {"fixed", TRACE_FIXED, DECIMAL, true}}},
	{"kvm_mmu_spte_requested",
	 "a frame is to be mapped",
	 false,
	 {{"gfn", TRACE_GFN, HEX, false},
	  {"pfn", TRACE_PFN, HEX, false},
	  {"level", TRACE_LEVEL, DECIMAL, false}}},
	{"kvm_tdp_mmu_spte_changed",
	 "an entry of the TDP MMU changed (T-21)",
	 false,
	 {{"as id", TRACE_SPACE, DECIMAL, true},
	  {"gfn", TRACE_GFN, HEX, false},
	  {"level", TRACE_LEVEL, DECIMAL, false},
	  {"old_spte", TRACE_OLD, HEX, false},
	  {"new_spte", TRACE_NEW, HEX, false}}},
	{"kvm_mmu_split_huge_page",
	 "a large page was split (T-42)",
	 false,
	 {{"gfn", TRACE_GFN, HEX, false},
	  {"spte", TRACE_SPTE, HEX, false},
	  {"level", TRACE_LEVEL, DECIMAL, false},
	  {"errno", TRACE_ERRNO, DECIMAL, true}}},
	{"kvm_mmu_zap_all_fast",
	 "all table pages became obsolete (S-62)",
	 false,
	 {{"kvm-mmu-valid-gen", TRACE_MMU_GENERATION, DECIMAL, false},
	  {"used_pages", TRACE_PAGES, HEX, true}}},
	{"kvm_mmu_get_page", "a table page was found or made", true, {{NULL, 0, 0, false}}},
	{"kvm_mmu_sync_page",
	 "a table page was made to agree with the guest's table (S-23)",
	 true,
	 {{NULL, 0, 0, false}}},
	{"kvm_mmu_unsync_page",
	 "the guest may write its table from now on (S-21)",
	 true,
	 {{NULL, 0, 0, false}}},
	{"kvm_mmu_prepare_zap_page", "a table page goes (S-60)", true, {{NULL, 0, 0, false}}},
	{"kvm_mmu_pagetable_walk",
	 "a walk of the guest's tables begins",
	 false,
	 {{"addr", TRACE_ADDRESS, HEX, false}, {"pferr", TRACE_PFEC, HEX, false}}},
	{"kvm_mmu_paging_element",
	 "a walk read an entry of the guest's tables",
	 false,
	 {{"pte", TRACE_GPTE, HEX, false}, {"level", TRACE_LEVEL, DECIMAL, false}}},
	{"kvm_mmu_walker_error",
	 "a walk of the guest's tables failed",
	 false,
	 {{"pferr", TRACE_PFEC, HEX, false}}},
	{"kvm_mmu_set_accessed_bit",
	 "a walk set A in an entry of the guest's",
	 false,
	 {{"gpa", TRACE_GPA, HEX, false}}},
	{"kvm_mmu_set_dirty_bit",
	 "a walk set D in an entry of the guest's",
	 false,
	 {{"gpa", TRACE_GPA, HEX, false}}},
	{"kvm_page_fault",
	 "a fault for the MMU",
	 false,
	 {{"vcpu", TRACE_VCPU, DECIMAL, true},
	  {"rip", TRACE_RIP, HEX, true},
	  {"address", TRACE_ADDRESS, HEX, false},
	  {"error_code", TRACE_CODE, HEX, false}}},
	{"kvm_exit",
	 "the guest exited",
	 false,
	 {{"vcpu", TRACE_VCPU, DECIMAL, true},
	  {"rip", TRACE_RIP, HEX, true},
	  {"info1", TRACE_INFO1, HEX, true},
	  {"info", TRACE_INFO1, HEX, true},
	  {"info2", TRACE_INFO2, HEX, true},
	  {"intr_info", TRACE_INTR, HEX, true},
	  {"error_code", TRACE_PFEC, HEX, true}}},
	{"kvm_nested_vmexit",
	 "a nested guest exited",
	 false,
	 {{"vcpu", TRACE_VCPU, DECIMAL, true},
	  {"rip", TRACE_RIP, HEX, true},
	  {"info1", TRACE_INFO1, HEX, true},
	  {"ext_inf1", TRACE_INFO1, HEX, true},
	  {"info2", TRACE_INFO2, HEX, true},
	  {"ext_inf2", TRACE_INFO2, HEX, true},
	  {"intr_info", TRACE_INTR, HEX, true},
	  {"error_code", TRACE_PFEC, HEX, true}}},
	{"kvm_nested_vmexit_inject",
	 "a nested exit is given to the guest hypervisor",
	 false,
	 {{"ext_inf1", TRACE_INFO1, HEX, true},
	  {"ext_inf2", TRACE_INFO2, HEX, true},
	  {"ext_int", TRACE_INTR, HEX, true},
	  {"ext_int_err", TRACE_PFEC, HEX, true}}},
	{"kvm_nested_vmenter",
	 "the guest hypervisor enters its guest",
	 false,
	 {{"rip", TRACE_RIP, HEX, true},
	  {"nested_eptp", TRACE_EPTP, HEX, true},
	  {"nested_cr3", TRACE_NCR3, HEX, true}}},
	{"kvm_inj_exception",
	 "an exception is given to the guest",
	 false,
	 {{"#PF", TRACE_PFEC, HEX, true}}},
	{"kvm_cr",
	 "the guest writes a control register",
	 false,
	 {{"cr_write", TRACE_CR, DECIMAL, true}, {"=", TRACE_CR_VALUE, HEX, true}}},
};
/* clang-format on */

/* ---- words ---- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* @key in @text as words of its own: what follows it, or NULL. */
static const char *after_key(const char *text, const char *key)
{
	const size_t length = strlen(key);

	for (const char *p = text; (p = strstr(p, key)); p++) {
		if ((p == text || !is_word(p[-1])) && !is_word(p[length]))
			return p + length;
	}
	return NULL;
}

static const char *skip_separators(const char *p)
{
	return p + strspn(p, " \t:=(");
}

static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
}

/* The number at *p; false if none is there or it has more than 64 bits. */
static bool number(const char **p, unsigned base, uint64_t *value)
{
	const char *start = *p;
	uint64_t v = 0;

	if (start[0] == '0' && (start[1] == 'x' || start[1] == 'X')) {
		start += 2;
		base = 16;
	}
	for (*p = start; digit(**p) < base; ++*p) {
		uint64_t high;

		if (__builtin_mul_overflow(v, (uint64_t)base, &high) ||
		    __builtin_add_overflow(high, (uint64_t)digit(**p), &v))
			return false;
	}
	*value = v;
	return *p != start && !is_word(**p);
}

/* "P|W|U|RSVD|F", G-34; nothing is no flag. */
static bool flags(const char *p, uint64_t *value)
{
	static const struct {
		const char *name;
		uint64_t bit;
	} names[] = {{"P", 1}, {"W", 2}, {"U", 4}, {"RSVD", 8}, {"F", 16}};
	uint64_t all = 0;

	for (; isupper((unsigned char)*p) || isdigit((unsigned char)*p); p += *p == '|') {
		const size_t length = strcspn(p, "| \t");
		uint64_t bits = 0;

		for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
			if (strlen(names[i].name) == length && !memcmp(names[i].name, p, length))
				bits = names[i].bit;
		}
		if (bits)
			p += length;
		else if (!number(&p, 16, &bits))
			return false;
		all |= bits;
	}
	*value = all;
	return true;
}

static void give(struct trace_line *line, enum trace_id id, uint64_t value)
{
	line->given |= 1ull << id;
	line->value[id] = value;
}

/* One key's value into @line; @why otherwise. */
static bool take(const char *text, const struct key *key, struct trace_line *line, char *why,
		 size_t size)
{
	static const char *const expected[] = {
		[HEX] = "a hexadecimal number of up to 64 bits",
		[DECIMAL] = "a decimal number",
		[FLAGS] = "flags of P, W, U, RSVD, F",
	};
	const char *p = after_key(text, key->text), *start;
	uint64_t value = 0;
	bool ok, minus;

	if (!p) {
		snprintf(why, size, "%s without '%s'", line->name, key->text);
		return key->optional;
	}
	start = p = skip_separators(p);
	minus = key->how == DECIMAL && *p == '-';
	p += minus;
	ok = key->how == FLAGS ? flags(p, &value)
			       : number(&p, key->how == DECIMAL ? 10 : 16, &value);
	if (ok)
		give(line, key->id, minus ? -value : value);
	else
		snprintf(why, size, "%s: '%.*s' after '%s' is not %s", line->name,
			 (int)(strcspn(start, " \t,)") < 40 ? strcspn(start, " \t,)") : 40), start,
			 key->text, expected[key->how]);
	return ok;
}

/* ---- the text of a role ---- */

/* "wux", "rwux" with dashes: ACC_* of B-2; with three letters reading goes without saying. */
static bool access(const char *word, size_t length, uint64_t *acc)
{
	uint64_t v = length == 3 ? ACC_READ : 0;

	if (length != 3 && length != 4)
		return false;
	for (size_t i = 0; i < length; i++) {
		switch (word[i]) {
		case 'r': v |= ACC_READ; break;
		case 'w': v |= ACC_WRITE; break;
		case 'u': v |= ACC_USER; break;
		case 'x': v |= ACC_EXEC; break;
		case '-': break;
		default: return false;
		}
	}
	*acc = v;
	return true;
}

static bool is(const char *word, size_t length, const char *name)
{
	return strlen(name) == length && !memcmp(word, name, length);
}

/* A word of the role's text; *next is what follows it. */
static bool role_word(const char *word, size_t length, const char **next, struct trace_line *line)
{
	uint64_t *role = &line->value[TRACE_ROLE], n = 0;
	const char *p = word + 1;

	if (is(word, length, "gen") || is(word, length, "root") || is(word, length, "gfn")) {
		const bool gfn = word[0] == 'g' && word[1] == 'f';

		*next = skip_separators(*next);
		if (!number(next, gfn ? 16 : 10, &n))
			return false;
		give(line, gfn ? TRACE_GFN : *word == 'r' ? TRACE_ROOTS : TRACE_MMU_GENERATION, n);
	} else if (*word == 'l' && number(&p, 10, &n) && p == word + length) {
		*role |= n & ROLE_LEVEL;
		give(line, TRACE_LEVEL, n);
		return n <= ROLE_LEVEL;
	} else if (is(word, length, "4-byte")) {
		*role |= ROLE_4_BYTE;
	} else if (*word == 'q' && length == 2 && word[1] >= '0' && word[1] <= '3') {
		*role |= (uint64_t)(word[1] - '0') << ROLE_QUADRANT_SHIFT;
	} else if (is(word, length, "direct")) {
		*role |= ROLE_DIRECT;
	} else if (access(word, length, &n)) {
		*role |= n << ROLE_ACCESS_SHIFT;
	} else if (is(word, length, "invalid")) {
		*role |= ROLE_INVALID;
	} else if (is(word, length, "nxe")) {
		*role |= ROLE_NX;
	} else if (is(word, length, "!ad")) {
		*role |= ROLE_AD_DISABLED;
	} else if (is(word, length, "unsync") || is(word, length, "sync")) {
		give(line, TRACE_UNSYNC, *word == 'u');
	}
	return true;
}

static bool role_text(const char *text, struct trace_line *line, char *why, size_t size)
{
	const char *p = after_key(text, "sp");
	const uint64_t needed = 1ull << TRACE_GFN | 1ull << TRACE_LEVEL;

	line->value[TRACE_ROLE] = 0;
	while (p && *(p += strspn(p, " \t"))) {
		const size_t length = strcspn(p, " \t");
		const char *next = p + length;

		if (!role_word(p, length, &next, line)) {
			snprintf(why, size, "%s: no number of a role at '%.*s'", line->name, 40, p);
			return false;
		}
		p = next;
	}
	line->given |= 1ull << TRACE_ROLE;
	if ((line->given & needed) == needed)
		return true;
	snprintf(why, size, "%s without a page's role (sp gen ... gfn ... l...)", line->name);
	return false;
}

/* ---- lines ---- */

/* The event of @text, and in *rest what follows its colon. */
static const struct trace_event *find_event(const char *text, const char **rest)
{
	for (const char *colon = text; (colon = strchr(colon, ':')); colon++) {
		const char *p = colon;

		while (p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '_'))
			p--;
		for (unsigned i = 0; p < colon && i < sizeof(events) / sizeof(*events); i++) {
			if (is(p, (size_t)(colon - p), events[i].name)) {
				*rest = colon + 1;
				return &events[i];
			}
		}
	}
	return NULL;
}

/* A word that begins with kvm and ends in a colon: some other event. */
static bool other_event(const char *text, struct trace_line *line)
{
	for (const char *p = text; (p = strstr(p, "kvm_")); p++) {
		const size_t length = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");

		if (p[length] == ':' && (p == text || !is_word(p[-1]))) {
			snprintf(line->name, sizeof(line->name), "%.*s", (int)length, p);
			return true;
		}
	}
	return false;
}

/* The word after @key into @to. */
static void word_after(const char *text, const char *key, char *to, size_t size)
{
	const char *p = after_key(text, key);

	*to = 0;
	if (!p)
		return;
	p = skip_separators(p);
	for (size_t i = 0; i + 1 < size && is_word(p[i]); i++) {
		to[i] = p[i];
		to[i + 1] = 0;
	}
}

enum trace_result trace_parse(const char *text, struct trace_line *line, char *why, size_t size)
{
	const struct trace_event *event;
	const char *rest = NULL, *open;

	line->given = 0;
	line->sentence = "";
	line->reason[0] = line->rights[0] = line->name[0] = 0;
	line->event = event = find_event(text, &rest);
	if (!event)
		return other_event(text, line) ? TRACE_OTHER : TRACE_NONE;
	line->sentence = event->sentence;
	snprintf(line->name, sizeof(line->name), "%s", event->name);
	for (unsigned i = 0; i < EVENT_KEYS && event->key[i].text; i++) {
		if (!take(rest, &event->key[i], line, why, size))
			return TRACE_BAD;
	}
	if (event->role && !role_text(rest, line, why, size))
		return TRACE_BAD;
	word_after(rest, "reason", line->reason, sizeof(line->reason));
	/* "(rwx)" or "(rwxu)" after an entry */
	open = line->given >> TRACE_SPTE & 1 ? strchr(rest, '(') : NULL;
	if (open) {
		const size_t length = strspn(open + 1, "rwxu-");

		if (open[1 + length] == ')' && length >= 3 && length <= 4)
			snprintf(line->rights, sizeof(line->rights), "%.*s", (int)length, open + 1);
	}
	return line->given ? TRACE_OK : TRACE_OTHER;
}
