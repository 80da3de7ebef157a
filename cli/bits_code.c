/* SPDX-License-Identifier: MIT */
/*
 * bits_code.c - root registers, fault codes and role words.
 *
 *	cr3, eptp                    a root and how to walk from it
 *	pfec, npfcode, eptqual       why an access failed
 *	role                         what tells tables of one gfn apart (facts R-1)
 *
 * Rows name the bits; what one row cannot see - combinations that hardware never
 * reports, reserved bits by MAXPHYADDR - is a finding with its rule.
 */
#include "cli/bits_parts.h"

#include <stdio.h>

#define END                                           \
	{                                             \
		0, 0, 0, 0, 0, NULL, NULL, NULL, NULL \
	}
#define IGNORED "ignored", "ignored by translation", NULL, NULL

/* ---- CR3 (H-10, H-11, G-16) ---- */

static const struct bits_row cr3_rows[] = {
	{4, 0, 0, IF_PAE, 0, IGNORED},
	{63, 32, 0, IF_PAE, 0, IGNORED},
	{63, 32, 0, IF_32, 0, IGNORED},
	{11, 0, 0, IF_LONG | IF_PCID, 0, "PCID",
	 "process-context identifier, tag of cached translations", "process-context identifier 0",
	 NULL},
	{3, 3, 0, 0, IF_PAE, "PWT", "write-through access to the root table", NULL, NULL},
	{4, 4, 0, 0, IF_PAE, "PCD", "uncached access to the root table", NULL, NULL},
	{2, 0, 0, 0, IF_PAE, IGNORED},
	{11, 5, 0, 0, IF_PAE, IGNORED},
	{61, 61, 0, IF_LONG | IF_LAM, 0, "LAM_U57", "user pointers: bits 62:57 are ignored", NULL,
	 NULL},
	{62, 62, 0, IF_LONG | IF_LAM, 0, "LAM_U48", "user pointers: bits 62:48 are ignored", NULL,
	 NULL},
	{63, 63, 0, IF_LONG | IF_PCID, 0, "no-flush",
	 "MOV source only: keep this PCID's translations; never stored in CR3", NULL, NULL},
	END,
};

static void cr3(struct bits_writer *w)
{
	const struct bits_request *r = w->request;
	uint64_t root = bits_mask(51, 12), bad;
	const char *format = "4-level";
	char list[64];

	switch (r->mode) {
	case BITS_MODE_32:
		w->conditions |= IF_32;
		root = bits_mask(31, 12);
		format = "32-bit";
		break;
	case BITS_MODE_PAE:
		w->conditions |= IF_PAE;
		root = bits_mask(31, 5);
		format = "PAE";
		break;
	case BITS_MODE_5: format = "5-level"; /* fall through */
	default: w->conditions |= IF_LONG | (r->pcid ? IF_PCID : 0) | (r->lam ? IF_LAM : 0); break;
	}
	bits_rows(w, cr3_rows);
	if (w->conditions & IF_LONG)
		root &= bits_mask(r->maxphyaddr - 1u, 12);
	bits_address(w, root, "root",
		     w->conditions & IF_PAE ? "of the four PDPTEs, 32-byte aligned"
					    : "of the top table");
	bits_summary(w, "%s root at 0x%llx", format, (unsigned long long)(w->value & root));
	if (r->pcid && w->conditions & IF_LONG)
		bits_summary(w, ", PCID 0x%llx", (unsigned long long)(w->value & 0xfff));
	bad = w->value & ~w->covered;
	if (!bad)
		return;
	bits_rest(w, ~0ull, "reserved", "must be 0 in long mode");
	if (bad & bits_mask(51, r->maxphyaddr))
		bits_find(w, "SDM 3A 4.5; H-10, H-11",
			  "reserved %s set: MAXPHYADDR is %u, MOV to CR3 raises #GP",
			  bits_list(bad & bits_mask(51, r->maxphyaddr), list, sizeof(list)),
			  r->maxphyaddr);
	bad &= ~bits_mask(51, r->maxphyaddr);
	if (bad)
		bits_find(w, "SDM 3A 4.5; H-10, H-11", "reserved %s set: MOV to CR3 raises #GP",
			  bits_list(bad, list, sizeof(list)));
}

/* ---- EPTP (E-2, H-70) ---- */

static const char *const eptp_types[8] = {
	"uncacheable (UC)", "an illegal value", "an illegal value", "an illegal value",
	"an illegal value", "an illegal value", "write back (WB)",  "an illegal value",
};
static const char *const eptp_lengths[8] = {
	"1 level, illegal", "2 levels, illegal", "3 levels, illegal", "4 levels",
	"5 levels",         "6 levels, illegal", "7 levels, illegal", "8 levels, illegal",
};

static const struct bits_row eptp_rows[] = {
	{2, 0, 0, 0, 0, "memtype",
	 "of the EPT tables themselves: ", "of the EPT tables themselves: ", eptp_types},
	{5, 3, 0, 0, 0, "walk-length", "minus 1: ", "minus 1: ", eptp_lengths},
	{6, 6, 0, 0, 0, "A/D",
	 "accessed and dirty flags are used; guest table accesses count as writes", NULL, NULL},
	{7, 7, 0, 0, 0, "SSS",
	 "supervisor shadow-stack rights are enforced; KVM has the bit reserved", NULL, NULL},
	END,
};

static void eptp(struct bits_writer *w)
{
	const struct bits_request *r = w->request;
	unsigned type = w->value & 7, levels = (unsigned)(w->value >> 3 & 7) + 1;
	uint64_t root = bits_mask(r->maxphyaddr - 1u, 12), bad;
	char list[64];

	bits_rows(w, eptp_rows);
	bits_address(w, root, "root", "of the top EPT table");
	bits_summary(w, "EPT of %u levels at 0x%llx%s", levels,
		     (unsigned long long)(w->value & root), w->value >> 6 & 1 ? ", A/D on" : "");
	if (type != 0 && type != 6)
		bits_find(w, "SDM 3C 25.6.11; E-2",
			  "memory type %u: only 0 (UC) and 6 (WB) are legal", type);
	if (levels != 4 && levels != 5)
		bits_find(w, "SDM 3C 25.6.11; E-2", "walk length %u: only 4 and 5 are legal",
			  levels);
	if (levels == 5 && !r->ept_level5)
		bits_find(w, "SDM 3C 25.6.11; E-2",
			  "the CPU has no 5-level EPT (EPT_VPID_CAP bit 7)");
	if (w->value >> 6 & 1 && !(r->flags & MODE_AD))
		bits_find(w, "SDM 3C 25.6.11; E-2",
			  "the CPU has no EPT accessed and dirty flags (EPT_VPID_CAP bit 21)");
	if (w->value >> 7 & 1)
		bits_find(w, "E-2, H-70",
			  "bit 7 is reserved where supervisor shadow stacks are not offered");
	bad = w->value & bits_mask(11, 8);
	if (bad)
		bits_find(w, "SDM 3C 25.6.11; E-2, H-70", "reserved %s set",
			  bits_list(bad, list, sizeof(list)));
	bad = w->value & bits_mask(63, r->maxphyaddr);
	if (bad)
		bits_find(w, "SDM 3C 25.6.11; E-2, H-70", "reserved %s set: MAXPHYADDR is %u",
			  bits_list(bad, list, sizeof(list)), r->maxphyaddr);
	bits_rest(w, ~0ull, "reserved", "must be 0");
	if (w->report->finding_count)
		bits_summary(w, "; illegal: VM entry fails");
}

void bits_register(struct bits_writer *w)
{
	if (w->request->kind == BITS_CR3)
		cr3(w);
	else
		eptp(w);
}

/* ---- #PF and #NPF codes (G-34, H-55, H-95, P-6) ---- */

static const struct bits_row pfec_rows[] = {
	{0, 0, 0, 0, MODE_NPT, "P",
	 "all entries of the walk were present: rights, keys or reserved bits",
	 "an entry of the walk was not present", NULL},
	{0, 0, 0, 0, 0, "P", "all nested entries were present: rights or reserved bits",
	 "a nested entry was not present", NULL},
	{1, 1, 0, 0, 0, "W/R", "the access was a write", "the access was no write", NULL},
	{2, 2, 0, 0, MODE_NPT, "U/S", "user-mode access", "supervisor-mode access", NULL},
	{2, 2, 0, 0, 0, "U/S", "user access, as nested accesses are", "supervisor access", NULL},
	{3, 3, 0, 0, 0, "RSVD", "a reserved bit was set in a present entry", NULL, NULL},
	{4, 4, 0, 0, 0, "I/D", "the access was an instruction fetch", NULL, NULL},
	{5, 5, 0, 0, 0, "PK", "a protection key denies the access", NULL, NULL},
	{6, 6, 0, 0, 0, "SS", "the access was a shadow-stack access", NULL, NULL},
	{15, 15, 0, 0, 0, "SGX", "SGX denied the access, not paging", NULL, NULL},
	{31, 31, 0, 0, 0, "RMP", "SNP: the reverse map table denied the access", NULL, NULL},
	{32, 32, 0, MODE_NPT, 0, "FINAL", "while the final guest-physical address was translated",
	 NULL, NULL},
	{33, 33, 0, MODE_NPT, 0, "TABLE", "while the address of a guest page table was translated",
	 NULL, NULL},
	{34, 34, 0, MODE_NPT, 0, "ENC", "SNP: the guest's C-bit was set", NULL, NULL},
	{35, 35, 0, MODE_NPT, 0, "SIZEM", "SNP: page sizes of RMP and nested tables differ", NULL,
	 NULL},
	{36, 36, 0, MODE_NPT, 0, "VMPL", "SNP: the VMPL denied the access", NULL, NULL},
	{37, 37, 0, MODE_NPT, 0, "SSS", "the leaf is a supervisor shadow-stack page", NULL, NULL},
	{48, 48, 0, 0, 0, "IMPLICIT", "KVM's own bit: implicit supervisor access", NULL, NULL},
	{49, 49, 0, 0, 0, "PRIVATE", "KVM's own bit: access to private memory", NULL, NULL},
	END,
};

#define CODE(bit) (w->value >> (bit)&1)

static void code_summary(struct bits_writer *w)
{
	bits_summary(w, "%s %s%s: %s", CODE(2) ? "user" : "supervisor",
		     CODE(6) ? "shadow-stack " : "",
		     CODE(1)   ? "write"
		     : CODE(4) ? "fetch"
			       : "read",
		     !CODE(0)  ? "not present"
		     : CODE(3) ? "reserved bit"
		     : CODE(5) ? "denied by a protection key"
			       : "denied by rights");
}

/* What no processor reports (H-55). */
static void code_findings(struct bits_writer *w)
{
	uint64_t rest = w->value & ~w->covered;
	char list[64];

	if (CODE(3) && !CODE(0))
		bits_find(w, "H-32, G-21",
			  "RSVD without P: only present entries have reserved bits");
	if (CODE(1) && CODE(4))
		bits_find(w, "H-55", "W/R with I/D: an access is a write or a fetch");
	if (CODE(5) && (!CODE(0) || CODE(3)))
		bits_find(w, "H-55", "PK needs P = 1 and RSVD = 0");
	if (CODE(5) && CODE(4))
		bits_find(w, "H-52, G-46", "PK with I/D: keys never deny fetches");
	if (CODE(6) && CODE(4))
		bits_find(w, "H-55", "SS with I/D: a shadow-stack access is no fetch");
	if (CODE(48) || CODE(49))
		bits_find(w, "G-34, P-6", "bits 48 and 49 are KVM's own: hardware never sets them");
	if (!rest)
		return;
	bits_rest(w, ~0ull, "reserved", "must be 0");
	bits_find(w, "G-34, H-55", "undefined %s set", bits_list(rest, list, sizeof(list)));
}

static void pfec(struct bits_writer *w)
{
	bits_rows(w, pfec_rows);
	code_summary(w);
	code_findings(w);
}

static void npfcode(struct bits_writer *w)
{
	w->conditions |= MODE_NPT;
	bits_rows(w, pfec_rows);
	code_summary(w);
	bits_summary(w, "%s",
		     CODE(33)   ? ", on a guest table"
		     : CODE(32) ? ", on the final address"
				: "");
	code_findings(w);
	if (CODE(32) == CODE(33))
		bits_find(w, "H-95, P-6", "exactly one of bits 32 and 33 is set by hardware");
	if (!CODE(2) && !(w->request->flags & MODE_GMET))
		bits_find(w, "H-92, P-2",
			  "U/S = 0: without GMET every nested access is a user access");
	if (CODE(33) && !CODE(32) && !CODE(1) && !(w->request->flags & MODE_ROGPT))
		bits_find(w, "H-92, P-3", "walks of guest tables are nested writes: W/R must be 1");
	if (CODE(33) && !CODE(32) && CODE(4))
		bits_find(w, "H-95", "I/D is 0 for walks of guest tables");
	if (CODE(5))
		bits_find(w, "P-2", "keys do not apply to nested translations");
}

/* ---- exit qualification (E-9, H-79) ---- */

static const struct bits_row qual_rows[] = {
	{0, 0, 0, 0, 0, "read", "the access was a data read", NULL, NULL},
	{1, 1, 0, 0, 0, "write", "the access was a data write, or one to a guest table with A/D on",
	 NULL, NULL},
	{2, 2, 0, 0, 0, "fetch", "the access was an instruction fetch", NULL, NULL},
	{3, 3, 0, 0, 0, "R", "the EPT entries allow reads", "the EPT entries do not allow reads",
	 NULL},
	{4, 4, 0, 0, 0, "W", "the EPT entries allow writes", "the EPT entries do not allow writes",
	 NULL},
	{5, 5, 0, MODE_MBEC, 0, "XS", "the EPT entries allow supervisor-mode fetches",
	 "the EPT entries do not allow supervisor-mode fetches", NULL},
	{5, 5, 0, 0, 0, "X", "the EPT entries allow fetches",
	 "the EPT entries do not allow fetches", NULL},
	{6, 6, 0, MODE_MBEC, 0, "XU", "the EPT entries allow user-mode fetches",
	 "the EPT entries do not allow user-mode fetches", NULL},
	{6, 6, 0, 0, 0, "undefined",
	 "user-mode execute, undefined without mode-based execute control", NULL, NULL},
	{7, 7, 0, 0, 0, "GVA", "the guest-linear-address field is valid",
	 "there is no guest-linear address (PDPTE load, trace output)", NULL},
	{8, 8, 0, IF_GVA, 0, "final", "the access was to what the linear address translates to",
	 "the access was to a guest paging structure", NULL},
	{9, 9, 0, IF_LINEAR, 0, "user-linear", "user-mode linear address",
	 "supervisor-mode linear address", NULL},
	{10, 10, 0, IF_LINEAR, 0, "linear-writable", "guest paging lets the page be written",
	 "guest paging has the page read-only", NULL},
	{11, 11, 0, IF_LINEAR, 0, "linear-NX", "guest paging denies execution",
	 "guest paging allows execution", NULL},
	{11, 9, 0, 0, 0, "undefined",
	 "advanced information, undefined unless bits 7 and 8 are set and the CPU gives it", NULL,
	 NULL},
	{12, 12, 0, 0, 0, "NMI-unblocking", "IRET had just unblocked NMIs", NULL, NULL},
	{13, 13, 0, 0, 0, "shadow-stack", "the access was a shadow-stack access", NULL, NULL},
	{14, 14, 0, 0, 0, "SSS", "the leaf is a supervisor shadow-stack page, if EPTP bit 7 = 1",
	 NULL, NULL},
	{15, 15, 0, 0, 0, "GPV", "guest-paging verification failed", NULL, NULL},
	{16, 16, 0, 0, 0, "asynchronous",
	 "the access was no instruction's (trace output and the like)", NULL, NULL},
	END,
};

static void eptqual(struct bits_writer *w)
{
	uint64_t rest;
	char list[64];

	if (CODE(7))
		w->conditions |= IF_GVA;
	if (CODE(7) && CODE(8) && w->request->flags & MODE_ADVINFO)
		w->conditions |= IF_LINEAR;
	bits_rows(w, qual_rows);
	bits_summary(w, "%s%s%s%s, EPT rights %c%c%c",
		     CODE(0) ? CODE(1) ? "read and write" : "read" : "",
		     !CODE(0) && CODE(1) ? "write" : "",
		     CODE(2) ? CODE(0) || CODE(1) ? ", fetch" : "fetch" : "",
		     !CODE(7)  ? " without a linear address"
		     : CODE(8) ? " of the final address"
			       : " of a guest table",
		     CODE(3) ? 'r' : '-', CODE(4) ? 'w' : '-', CODE(5) ? 'x' : '-');
	if (!(w->value & 7))
		bits_find(w, "H-79, E-9", "bits 2:0 are 0: every violation has an access");
	if (CODE(8) && !CODE(7))
		bits_find(w, "H-79, E-9", "bit 8 must be 0 while bit 7 is 0");
	if (CODE(2) && CODE(7) && !CODE(8))
		bits_find(w, "H-79, E-8", "guest paging structures are never fetched");
	rest = w->value & ~w->covered;
	bits_rest(w, ~0ull, "reserved", "must be 0");
	if (rest)
		bits_find(w, "H-79, E-9", "reserved %s set", bits_list(rest, list, sizeof(list)));
}

/* ---- role words (R-1, R-2) ---- */

#define ROLE_LOW                                                                                  \
	{3, 0, 0, 0, 0, "level", "level of the table", "level 0: a guest without paging", NULL},  \
		{4,    4,   0, 0, 0, "has_4_byte_gpte", "the guest's tables have 4-byte entries", \
		 NULL, NULL},                                                                     \
		{6,                                                                               \
		 5,                                                                               \
		 0,                                                                               \
		 0,                                                                               \
		 0,                                                                               \
		 "quadrant",                                                                      \
		 "which part of a guest table of 4-byte entries this shadows",                    \
		 NULL,                                                                            \
		 NULL},                                                                           \
	{                                                                                         \
		7, 7, 0, 0, 0, "direct", "maps guest-physical addresses linearly", NULL, NULL     \
	}
#define ROLE_HIGH                                                                                \
	{15, 15, 0, 0, 0, "smap_andnot_wp", "CR4.SMAP = 1 and CR0.WP = 0", NULL, NULL},          \
		{16, 16, 0, 0, 0, "ad_disabled", "entries cannot use hardware A/D", NULL, NULL}, \
		{17, 17, 0, 0, 0, "guest_mode", "built for a nested guest", NULL, NULL},         \
		{18,   18,  0, 0, 0, "passthrough", "a level that the guest's tables lack",      \
		 NULL, NULL},                                                                    \
	{                                                                                        \
		31, 24, 0, 0, 0, "smm", "address space: 1 is system management mode", NULL, NULL \
	}

static const struct bits_row role_612_rows[] = {
	ROLE_LOW,
	{10, 8, 0, 0, 0, "access",
	 "rights of the levels above: ", "rights of the levels above: none", NULL},
	{11, 11, 0, 0, 0, "invalid", "zapped, and alive only as somebody's root", NULL, NULL},
	{12, 12, 0, 0, 0, "efer_nx", "EFER.NXE = 1", NULL, NULL},
	{13, 13, 0, 0, 0, "cr0_wp", "CR0.WP = 1", NULL, NULL},
	{14, 14, 0, 0, 0, "smep_andnot_wp", "CR4.SMEP = 1 and CR0.WP = 0", NULL, NULL},
	ROLE_HIGH,
	END,
};

static const struct bits_row role_73_rows[] = {
	ROLE_LOW,
	{11, 8, 0, 0, 0, "access",
	 "rights of the levels above: ", "rights of the levels above: none", NULL},
	{12, 12, 0, 0, 0, "invalid", "zapped, and alive only as somebody's root", NULL, NULL},
	{13, 13, 0, 0, 0, "efer_nx", "EFER.NXE = 1", NULL, NULL},
	{14, 14, 0, 0, 0, "cr0_wp", "CR0.WP = 1", NULL, NULL},
	ROLE_HIGH,
	{19, 19, 0, 0, 0, "is_mirror", "mirror of an external table (TDX)", NULL, NULL},
	{20, 20, 0, 0, 0, "cr4_smep", "CR4.SMEP = 1; of EPT and NPT: MBEC or GMET is on", NULL,
	 NULL},
	END,
};

static void role(struct bits_writer *w)
{
	/* B-2: three bits EXEC, WRITE, USER, and four READ, WRITE, USER, EXEC. */
	static const char *const rights[2][4] = {{"exec", "write", "user", ""},
						 {"read", "write", "user", "exec"}};
	bool now = w->request->generation == 2;
	unsigned level = w->value & 15;
	char list[64], acc[40] = "";
	uint64_t rest;

	for (unsigned i = 0, used = 0; i < (now ? 4u : 3u); i++) {
		if (CODE(8 + i))
			used += (unsigned)snprintf(acc + used, sizeof(acc) - used, "%s%s",
						   used ? ", " : "", rights[now][i]);
	}
	if (acc[0])
		bits_add(w, now ? 11 : 10, 8, "access", "rights of the levels above: %s", acc);
	bits_rows(w, now ? role_73_rows : role_612_rows);
	bits_summary(w, "level %u, %s, rights %s", level, CODE(7) ? "direct" : "shadow",
		     acc[0] ? acc : "none");
	if (level > UMBRA_LEVEL_MAX)
		bits_find(w, "R-2", "level %u: levels are 1 to 5", level);
	if (w->value >> 5 & 3 && !CODE(4))
		bits_find(w, "R-2, R-15", "a quadrant without 4-byte entries");
	rest = w->value & ~w->covered;
	bits_rest(w, ~0ull, "reserved", "padding, must be 0");
	if (rest)
		bits_find(w, "R-1", "padding %s set", bits_list(rest, list, sizeof(list)));
}

void bits_code(struct bits_writer *w)
{
	switch (w->request->kind) {
	case BITS_PFEC: pfec(w); break;
	case BITS_NPFCODE: npfcode(w); break;
	case BITS_EPTQUAL: eptqual(w); break;
	default: role(w); break;
	}
}
