/* SPDX-License-Identifier: MIT */
/*
 * vectors.h - the walk, rights and format vectors of hardware-facts section 7
 * (T-1..T-30, T-44..T-61, T-63, T-64, T-70..T-80) as plain data, and a few rows
 * more, named by rule, so that every format is met.
 *
 * Each row is one access on one small machine. What a row does not mention is
 * the base: 4-level paging, MAXPHYADDR 46, NXE, WP and PGE set, Intel profile,
 * no second stage, every guest entry flags 07h, one 4K leaf. The machine is:
 *
 *	guest table of level L	VEC_GUEST_TABLE(L), one entry used in each
 *	data frame		VEC_FRAME
 *	EPT/NPT table of level L	VEC_NESTED_TABLE(L), maps GPA = HPA below 2M
 *	RAM			[0, VEC_RAM_SIZE)
 *
 * The vec_*() helpers turn a row into registers, a CPU and entries to write,
 * so that any walker can run it; nothing here depends on one.
 *
 * Vectors that need more than one access (caching), control-register checks or
 * canonical checks are not here; see tests/model/.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include "umbra/types.h"

#define VEC_RAM_SIZE 0x40000ull
#define VEC_GUEST_TABLE(level) (0x10000ull + 0x1000ull * (level))
#define VEC_FRAME 0x20000ull
#define VEC_NESTED_TABLE(level) (0x30000ull + 0x1000ull * (level))

/* Default addresses: same table indexes, whatever the row changes. */
#define VEC_GVA_LONG 0x0000112233445678ull
#define VEC_GVA_LEGACY 0x00412678ull
#define VEC_GVA_UNPAGED 0x20678ull

enum vector_paging { VEC_4LEVEL, VEC_5LEVEL, VEC_PAE, VEC_32BIT, VEC_UNPAGED };
enum vector_stage2 { VEC_NATIVE, VEC_EPT, VEC_NPT };

/** struct vec_entry - an entry that a row gives; set = false: the base's, or unchecked. */
struct vec_entry {
	bool set;
	uint64_t value;
	/** Bits that may be either (expectations only). */
	uint64_t any;
};
#define VEC_SET(value_)           \
	{                         \
		true, (value_), 0 \
	}
#define VEC_SET_ANY(value_, any_)      \
	{                              \
		true, (value_), (any_) \
	}
/* Explicit entries with the base's addresses. */
#define VEC_LEAF(flags)                      \
	{                                    \
		true, VEC_FRAME | (flags), 0 \
	}
#define VEC_LEAF_ANY(flags, any_)                 \
	{                                         \
		true, VEC_FRAME | (flags), (any_) \
	}
#define VEC_TABLE(level, flags)                               \
	{                                                     \
		true, VEC_GUEST_TABLE((level)-1) | (flags), 0 \
	}
#define VEC_NTABLE(level, flags)                               \
	{                                                      \
		true, VEC_NESTED_TABLE((level)-1) | (flags), 0 \
	}
#define VEC_NLEAF(flags)                     \
	{                                    \
		true, VEC_FRAME | (flags), 0 \
	}
#define VEC_NLEAF_OF(level, flags)                        \
	{                                                 \
		true, VEC_GUEST_TABLE(level) | (flags), 0 \
	}

struct vector {
	const char *id;
	const char *text;

	/* the CPU */
	bool amd;
	uint8_t maxphyaddr; /* 0: 46 */
	uint32_t cpu_add, cpu_drop; /* UMBRA_CPU_* against the profile */

	/* registers against the base */
	enum vector_paging paging;
	bool wp_clear, nxe_clear;
	uint64_t cr4_add;
	uint32_t pkru, pkrs;

	/* guest entries by level; [0] unused */
	struct vec_entry entry[6];

	/* second stage */
	enum vector_stage2 stage2;
	enum vector_paging host_paging; /* NPT format; EPT: VEC_4LEVEL or VEC_5LEVEL */
	uint64_t eptp_add; /* 40h A/D, 80h supervisor shadow stack */
	bool mbec, gmet, rogpt, npt_sss, host_nxe_clear, host_wp_clear;
	struct vec_entry nested_upper[6]; /* [2..5]: entries above the leaves */
	struct vec_entry nested_final; /* leaf of the data frame */
	struct vec_entry nested_table[6]; /* leaf of the guest's table page of that level */

	/* the access */
	uint64_t gva; /* 0: the default of the paging mode */
	unsigned access; /* enum umbra_access */

	/* what must happen */
	enum umbra_event_kind kind;
	uint64_t code;
	uint64_t code_mask; /* 0: vec_code_mask() */
	uint64_t event_gpa; /* 0: unchecked; low bits exact */
	uint64_t gpa; /* completed: guest-physical; 0: VEC_FRAME + page offset */
	struct vec_entry after[6]; /* guest entries */
	struct vec_entry after_nested_upper[6], after_nested_final, after_nested_table[6];
};

#define VEC_R 0
#define VEC_W UMBRA_ACCESS_WRITE
#define VEC_X UMBRA_ACCESS_FETCH
#define VEC_U UMBRA_ACCESS_USER
#define VEC_AC UMBRA_ACCESS_AC
#define VEC_IMPL UMBRA_ACCESS_IMPLICIT
#define VEC_SS UMBRA_ACCESS_SHSTK
#define VEC_PF(code_) .kind = UMBRA_EVENT_PF, .code = (code_)
#define VEC_VIOLATION(code_) .kind = UMBRA_EVENT_EPT_VIOLATION, .code = (code_)
#define VEC_MISCONFIG .kind = UMBRA_EVENT_EPT_MISCONFIG
#define VEC_NPF_FINAL(code_) .kind = UMBRA_EVENT_NPF, .code = UMBRA_NPF_FINAL | (code_)
#define VEC_NPF_TABLE(code_) .kind = UMBRA_EVENT_NPF, .code = UMBRA_NPF_TABLE | (code_)

#define VEC_XD (1ull << 63)
#define VEC_KEY(key) ((uint64_t)(key) << 59)
#define VEC_PKR_AD(key) (1u << (2 * (key)))
#define VEC_PKR_WD(key) (2u << (2 * (key)))
#define VEC_CET .cpu_add = UMBRA_CPU_SHSTK, .cr4_add = UMBRA_CR4_CET
#define VEC_GVA_OFFSET 0x678ull
/* GPA of the guest entry of @level that VEC_GVA_LONG uses. */
#define VEC_ENTRY_GPA(level) \
	(VEC_GUEST_TABLE(level) | ((VEC_GVA_LONG >> (3 + 9 * (level)) & 511) * 8))

/* A table reads best with one vector to a few lines. */
/* clang-format off */
static const struct vector vectors[] = {
	/* ---- walk and rights, T-1..T-21 ---- */
	{.id = "T-1", .text = "user read sets A everywhere", .access = VEC_U,
	 .after = {[4] = VEC_TABLE(4, 0x27), [3] = VEC_TABLE(3, 0x27), [2] = VEC_TABLE(2, 0x27),
		   [1] = VEC_LEAF(0x27)}},
	{.id = "T-2", .text = "user write sets D in the leaf", .access = VEC_U | VEC_W,
	 .after = {[4] = VEC_TABLE(4, 0x27), [3] = VEC_TABLE(3, 0x27), [2] = VEC_TABLE(2, 0x27),
		   [1] = VEC_LEAF(0x67)}},
	{.id = "T-3", .text = "PTE=0, user read", .entry = {[1] = VEC_SET(0)}, .access = VEC_U,
	 VEC_PF(0x4), .after = {[1] = VEC_SET(0)}},
	{.id = "T-4", .text = "P=0: nothing else is checked",
	 .entry = {[1] = VEC_SET(0xfffffffffffffffeull)}, .access = VEC_W, VEC_PF(0x2),
	 .after = {[1] = VEC_SET(0xfffffffffffffffeull)}},
	{.id = "T-5a", .text = "absent, user fetch, NXE=1", .entry = {[1] = VEC_SET(0)},
	 .access = VEC_U | VEC_X, VEC_PF(0x14)},
	{.id = "T-5b", .text = "absent, user fetch, NXE=0 SMEP=0", .nxe_clear = true,
	 .entry = {[1] = VEC_SET(0)}, .access = VEC_U | VEC_X, VEC_PF(0x4)},
	{.id = "T-5c", .text = "absent, user fetch, NXE=0 SMEP=1", .nxe_clear = true,
	 .cr4_add = UMBRA_CR4_SMEP, .entry = {[1] = VEC_SET(0)}, .access = VEC_U | VEC_X,
	 VEC_PF(0x14)},
	{.id = "T-6a", .text = "PML4E bit 7 beats PTE=0, user read",
	 .entry = {[4] = VEC_TABLE(4, 0x87), [1] = VEC_SET(0)}, .access = VEC_U, VEC_PF(0xd)},
	{.id = "T-6b", .text = "PML4E bit 7 beats PTE=0, sup write",
	 .entry = {[4] = VEC_TABLE(4, 0x87), [1] = VEC_SET(0)}, .access = VEC_W, VEC_PF(0xb)},
	{.id = "T-7a", .text = "PML4E bit 8, Intel", .entry = {[4] = VEC_TABLE(4, 0x107)}},
	{.id = "T-7b", .text = "PML4E bit 8, AMD", .amd = true,
	 .entry = {[4] = VEC_TABLE(4, 0x107)}, VEC_PF(0x9)},
	{.id = "T-8", .text = "upper U=0 does not hide lower P=0",
	 .entry = {[4] = VEC_TABLE(4, 0x03), [2] = VEC_SET(0)}, .access = VEC_U, VEC_PF(0x4)},
	{.id = "T-9", .text = "RSVD wins over rights",
	 .entry = {[3] = VEC_TABLE(3, 0x05), [1] = VEC_LEAF(1ull << 50 | 0x07)},
	 .access = VEC_W, VEC_PF(0xb)},
	{.id = "T-10a", .text = "supervisor page, user read", .entry = {[1] = VEC_LEAF(0x03)},
	 .access = VEC_U, VEC_PF(0x5), .after = {[1] = VEC_LEAF_ANY(0x03, 0x20)}},
	{.id = "T-10b", .text = "supervisor page, sup read", .entry = {[1] = VEC_LEAF(0x03)}},
	{.id = "T-10c", .text = "supervisor page, user write", .entry = {[1] = VEC_LEAF(0x03)},
	 .access = VEC_U | VEC_W, VEC_PF(0x7), .after = {[1] = VEC_LEAF_ANY(0x03, 0x20)}},
	{.id = "T-10d", .text = "supervisor page, user fetch", .entry = {[1] = VEC_LEAF(0x03)},
	 .access = VEC_U | VEC_X, VEC_PF(0x15)},
	{.id = "T-11a", .text = "upper R/W=0, sup write, WP=1",
	 .entry = {[3] = VEC_TABLE(3, 0x05)}, .access = VEC_W, VEC_PF(0x3)},
	{.id = "T-11b", .text = "upper R/W=0, sup write, WP=0", .wp_clear = true,
	 .entry = {[3] = VEC_TABLE(3, 0x05)}, .access = VEC_W, .after = {[1] = VEC_LEAF(0x67)}},
	{.id = "T-11c", .text = "upper R/W=0, user write, WP=0", .wp_clear = true,
	 .entry = {[3] = VEC_TABLE(3, 0x05)}, .access = VEC_U | VEC_W, VEC_PF(0x7)},
	{.id = "T-11d", .text = "upper R/W=0, user read", .entry = {[3] = VEC_TABLE(3, 0x05)},
	 .access = VEC_U},
	{.id = "T-12a", .text = "PML4E XD, sup fetch", .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)},
	 .access = VEC_X, VEC_PF(0x11)},
	{.id = "T-12b", .text = "PML4E XD, user fetch", .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)},
	 .access = VEC_U | VEC_X, VEC_PF(0x15)},
	{.id = "T-12c", .text = "PML4E XD, user read", .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)},
	 .access = VEC_U},
	{.id = "T-12d", .text = "PML4E XD, NXE=0, sup read", .nxe_clear = true,
	 .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)}, VEC_PF(0x9)},
	{.id = "T-12e", .text = "PML4E XD, NXE=0 SMEP=0, sup fetch", .nxe_clear = true,
	 .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)}, .access = VEC_X, VEC_PF(0x9)},
	{.id = "T-12f", .text = "PML4E XD, NXE=0 SMEP=1, sup fetch", .nxe_clear = true,
	 .cr4_add = UMBRA_CR4_SMEP, .entry = {[4] = VEC_TABLE(4, VEC_XD | 7)}, .access = VEC_X,
	 VEC_PF(0x19)},
	{.id = "T-13a", .text = "SMEP, user page, sup fetch", .cr4_add = UMBRA_CR4_SMEP,
	 .access = VEC_X, VEC_PF(0x11)},
	{.id = "T-13b", .text = "SMEP, user page, user fetch", .cr4_add = UMBRA_CR4_SMEP,
	 .access = VEC_U | VEC_X},
	{.id = "T-13c", .text = "SMEP, PDE U=0, sup fetch", .cr4_add = UMBRA_CR4_SMEP,
	 .entry = {[2] = VEC_TABLE(2, 0x03)}, .access = VEC_X},
	{.id = "T-14a", .text = "SMAP, user page, sup read AC=0", .cr4_add = UMBRA_CR4_SMAP,
	 VEC_PF(0x1)},
	{.id = "T-14b", .text = "SMAP, user page, sup read AC=1", .cr4_add = UMBRA_CR4_SMAP,
	 .access = VEC_AC},
	{.id = "T-14c", .text = "SMAP, implicit access ignores AC", .cr4_add = UMBRA_CR4_SMAP,
	 .access = VEC_AC | VEC_IMPL, VEC_PF(0x1)},
	{.id = "T-14d", .text = "SMAP, implicit access at CPL 3: U bit 0",
	 .cr4_add = UMBRA_CR4_SMAP, .access = VEC_IMPL, VEC_PF(0x1)},
	{.id = "T-14e", .text = "SMAP is independent of WP", .cr4_add = UMBRA_CR4_SMAP,
	 .wp_clear = true, .access = VEC_W, VEC_PF(0x3)},
	{.id = "T-14f", .text = "SMAP, user read", .cr4_add = UMBRA_CR4_SMAP, .access = VEC_U},
	{.id = "T-15a", .text = "PKU AD, user read", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)}, .access = VEC_U,
	 VEC_PF(0x25)},
	{.id = "T-15b", .text = "PKU AD, sup read", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)}, VEC_PF(0x21)},
	{.id = "T-15c", .text = "PKU AD, user write", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)},
	 .access = VEC_U | VEC_W, VEC_PF(0x27)},
	{.id = "T-15d", .text = "PKU AD, user fetch", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)},
	 .access = VEC_U | VEC_X},
	{.id = "T-15e", .text = "PKU AD, supervisor page, sup read", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 3)}},
	{.id = "T-15f", .text = "PKU AD, supervisor page, user read", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_AD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 3)}, .access = VEC_U,
	 VEC_PF(0x5)},
	{.id = "T-16a", .text = "PKU WD, user write", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_WD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)},
	 .access = VEC_U | VEC_W, VEC_PF(0x27)},
	{.id = "T-16b", .text = "PKU WD, sup write, WP=1", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_WD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)}, .access = VEC_W,
	 VEC_PF(0x23)},
	{.id = "T-16c", .text = "PKU WD, sup write, WP=0", .cr4_add = UMBRA_CR4_PKE,
	 .wp_clear = true, .pkru = VEC_PKR_WD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)},
	 .access = VEC_W},
	{.id = "T-16d", .text = "PKU WD, user read", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_WD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 7)}, .access = VEC_U},
	{.id = "T-17a", .text = "PK bit set although R/W denies too", .cr4_add = UMBRA_CR4_PKE,
	 .pkru = VEC_PKR_WD(5), .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 5)},
	 .access = VEC_U | VEC_W, VEC_PF(0x27)},
	{.id = "T-17b", .text = "keys clear, R/W denies", .cr4_add = UMBRA_CR4_PKE,
	 .entry = {[1] = VEC_LEAF(VEC_KEY(5) | 5)}, .access = VEC_U | VEC_W, VEC_PF(0x7)},
	{.id = "T-18a", .text = "PKS AD, sup read", .cr4_add = UMBRA_CR4_PKS,
	 .pkrs = VEC_PKR_AD(3), .entry = {[1] = VEC_LEAF(VEC_KEY(3) | 3)}, VEC_PF(0x21)},
	{.id = "T-18b", .text = "PKRU does not rule supervisor pages",
	 .cr4_add = UMBRA_CR4_PKS | UMBRA_CR4_PKE, .pkru = VEC_PKR_AD(3),
	 .entry = {[1] = VEC_LEAF(VEC_KEY(3) | 3)}},
	{.id = "T-19", .text = "keys are off outside long mode", .paging = VEC_PAE,
	 .cr4_add = UMBRA_CR4_PKE, .pkru = 0x55555555u, .access = VEC_U},
	{.id = "T-20", .text = "PK bit set although SMAP denies too",
	 .cr4_add = UMBRA_CR4_PKE | UMBRA_CR4_SMAP, .pkru = VEC_PKR_AD(0), VEC_PF(0x21)},
	{.id = "T-21a", .text = "failing CMPXCHG is a write: denied",
	 .entry = {[1] = VEC_LEAF(0x05)}, .access = VEC_U | VEC_W, VEC_PF(0x7)},
	{.id = "T-21b", .text = "failing CMPXCHG is a write: D set", .access = VEC_U | VEC_W,
	 .after = {[1] = VEC_LEAF(0x67)}},

	/* ---- formats, T-22..T-30 ---- */
	{.id = "T-22a", .text = "PTE bit M, sup read", .entry = {[1] = VEC_LEAF(1ull << 46 | 7)},
	 VEC_PF(0x9), .after = {[1] = VEC_LEAF(1ull << 46 | 7)}},
	{.id = "T-22b", .text = "PTE bit M, user write", .entry = {[1] = VEC_LEAF(1ull << 46 | 7)},
	 .access = VEC_U | VEC_W, VEC_PF(0xf)},
	{.id = "T-22c", .text = "PTE bit M-1", .entry = {[1] = VEC_LEAF(1ull << 45 | 7)},
	 .gpa = (1ull << 45 | VEC_FRAME) + VEC_GVA_OFFSET},
	{.id = "T-23a", .text = "PTE bits 58:52 ignored", .entry = {[1] = VEC_LEAF(0x7full << 52 | 7)}},
	{.id = "T-23b", .text = "PTE bits 62:59 ignored without keys",
	 .pkru = 0xffffffffu, .entry = {[1] = VEC_LEAF(VEC_KEY(15) | 7)}, .access = VEC_U},
	{.id = "T-24a", .text = "2M leaf bit 13", .entry = {[2] = VEC_SET(0x2087)}, VEC_PF(0x9)},
	{.id = "T-24b", .text = "2M leaf bit 12 is PAT, 21 low bits kept",
	 .entry = {[2] = VEC_SET(0x1087)}, .gva = 0x0000112233420678ull, .gpa = 0x20678},
	{.id = "T-25a", .text = "1G leaf without 1G support", .cpu_drop = UMBRA_CPU_1G,
	 .entry = {[3] = VEC_SET(0x87)}, VEC_PF(0x9)},
	{.id = "T-25b", .text = "1G leaf", .entry = {[3] = VEC_SET(0x87)},
	 .gva = 0x0000112200020678ull, .gpa = 0x20678},
	{.id = "T-25c", .text = "1G leaf bit 29", .entry = {[3] = VEC_SET(0x20000087)}, VEC_PF(0x9)},
	{.id = "T-25d", .text = "1G leaf bit 30", .entry = {[3] = VEC_SET(0x40000087)},
	 .gva = 0x0000112200020678ull, .gpa = 0x40020678},
	{.id = "T-26a", .text = "PAE PTE bit 52", .paging = VEC_PAE,
	 .entry = {[1] = VEC_LEAF(1ull << 52 | 7)}, VEC_PF(0x9)},
	{.id = "T-26b", .text = "PAE PTE bit 62", .paging = VEC_PAE,
	 .entry = {[1] = VEC_LEAF(1ull << 62 | 7)}, VEC_PF(0x9)},
	{.id = "T-26c", .text = "PAE PTE XD, NXE=0", .paging = VEC_PAE, .nxe_clear = true,
	 .entry = {[1] = VEC_LEAF(VEC_XD | 7)}, VEC_PF(0x9)},
	{.id = "T-26d", .text = "PAE PTE XD, read", .paging = VEC_PAE,
	 .entry = {[1] = VEC_LEAF(VEC_XD | 7)}},
	{.id = "T-26e", .text = "PAE PTE XD, fetch", .paging = VEC_PAE,
	 .entry = {[1] = VEC_LEAF(VEC_XD | 7)}, .access = VEC_X, VEC_PF(0x11)},
	{.id = "T-27", .text = "32-bit PSE=0: PDE bit 7 ignored", .paging = VEC_32BIT,
	 .entry = {[2] = VEC_TABLE(2, 0x87)}},
	{.id = "T-28", .text = "PSE-36 4M page", .paging = VEC_32BIT, .maxphyaddr = 36,
	 .cr4_add = UMBRA_CR4_PSE, .entry = {[2] = VEC_SET(0x00402087)}, .gva = 0x00412345,
	 .gpa = 0x100412345ull},
	{.id = "T-29a", .text = "PDE bit 17, M=36", .paging = VEC_32BIT, .maxphyaddr = 36,
	 .cr4_add = UMBRA_CR4_PSE, .entry = {[2] = VEC_SET(0x00420087)}, .gva = 0x00412345,
	 VEC_PF(0x9)},
	{.id = "T-29b", .text = "PDE bit 17, M=40", .paging = VEC_32BIT, .maxphyaddr = 40,
	 .cr4_add = UMBRA_CR4_PSE, .entry = {[2] = VEC_SET(0x00420087)}, .gva = 0x00412345,
	 .gpa = 0x1000412345ull},
	{.id = "T-30a", .text = "4M leaf bit 21, M=46", .paging = VEC_32BIT,
	 .cr4_add = UMBRA_CR4_PSE, .entry = {[2] = VEC_SET(0x00600087)}, VEC_PF(0x9)},
	{.id = "T-30b", .text = "4M leaf bit 21, M=36", .paging = VEC_32BIT, .maxphyaddr = 36,
	 .cr4_add = UMBRA_CR4_PSE, .entry = {[2] = VEC_SET(0x00600087)}, VEC_PF(0x9)},
	{.id = "T-30c", .text = "4M leaf bit 13 without PSE36", .paging = VEC_32BIT,
	 .cpu_drop = UMBRA_CPU_PSE36, .cr4_add = UMBRA_CR4_PSE,
	 .entry = {[2] = VEC_SET(0x00402087)}, VEC_PF(0x9)},

	/* ---- shadow stack, T-44..T-47 ---- */
	{.id = "T-44a", .text = "shadow-stack page, user SS read", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_U | VEC_SS,
	 .after = {[1] = VEC_LEAF(0x65)}},
	{.id = "T-44b", .text = "shadow-stack page, user SS write", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_U | VEC_SS | VEC_W,
	 .after = {[1] = VEC_LEAF(0x65)}},
	{.id = "T-44c", .text = "shadow-stack page, user read", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_U},
	{.id = "T-44d", .text = "shadow-stack page, user write", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_U | VEC_W, VEC_PF(0x7)},
	{.id = "T-44e", .text = "user shadow-stack page, sup SS read", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_SS, VEC_PF(0x41)},
	{.id = "T-44f", .text = "user shadow-stack page, sup SS write", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x65)}, .access = VEC_SS | VEC_W, VEC_PF(0x43)},
	{.id = "T-45a", .text = "ordinary page, user SS read", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x67)}, .access = VEC_U | VEC_SS, VEC_PF(0x45)},
	{.id = "T-45b", .text = "ordinary page, user SS write", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x67)}, .access = VEC_U | VEC_SS | VEC_W, VEC_PF(0x47)},
	{.id = "T-45c", .text = "clean read-only page, user SS write", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x25)}, .access = VEC_U | VEC_SS | VEC_W, VEC_PF(0x47),
	 .after = {[1] = VEC_LEAF(0x25)}},
	{.id = "T-45d", .text = "upper R/W=0 over a shadow-stack page", VEC_CET,
	 .entry = {[2] = VEC_TABLE(2, 0x05), [1] = VEC_LEAF(0x65)}, .access = VEC_U | VEC_SS,
	 VEC_PF(0x45)},
	{.id = "T-46a", .text = "sup shadow stack, sup SS write, SMAP",
	 .cpu_add = UMBRA_CPU_SHSTK, .cr4_add = UMBRA_CR4_CET | UMBRA_CR4_SMAP,
	 .entry = {[1] = VEC_LEAF(0x61)}, .access = VEC_SS | VEC_W},
	{.id = "T-46b", .text = "WRUSS to a sup shadow stack", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x61)}, .access = VEC_U | VEC_SS | VEC_W, VEC_PF(0x47)},
	{.id = "T-46c", .text = "sup shadow stack, user SS read", VEC_CET,
	 .entry = {[1] = VEC_LEAF(0x61)}, .access = VEC_U | VEC_SS, VEC_PF(0x45)},
	{.id = "T-46d", .text = "absent, user SS write", VEC_CET, .entry = {[1] = VEC_SET(0)},
	 .access = VEC_U | VEC_SS | VEC_W, VEC_PF(0x46)},
	{.id = "T-47a", .text = "key AD, user SS read", .cpu_add = UMBRA_CPU_SHSTK,
	 .cr4_add = UMBRA_CR4_CET | UMBRA_CR4_PKE, .pkru = VEC_PKR_AD(2),
	 .entry = {[1] = VEC_LEAF(VEC_KEY(2) | 0x65)}, .access = VEC_U | VEC_SS, VEC_PF(0x65)},
	{.id = "T-47b", .text = "key WD, user SS write", .cpu_add = UMBRA_CPU_SHSTK,
	 .cr4_add = UMBRA_CR4_CET | UMBRA_CR4_PKE, .pkru = VEC_PKR_WD(2),
	 .entry = {[1] = VEC_LEAF(VEC_KEY(2) | 0x65)}, .access = VEC_U | VEC_SS | VEC_W,
	 VEC_PF(0x67)},
	{.id = "T-47c", .text = "key WD, user SS read", .cpu_add = UMBRA_CPU_SHSTK,
	 .cr4_add = UMBRA_CR4_CET | UMBRA_CR4_PKE, .pkru = VEC_PKR_WD(2),
	 .entry = {[1] = VEC_LEAF(VEC_KEY(2) | 0x65)}, .access = VEC_U | VEC_SS},

	/* ---- EPT, T-50..T-64 ---- */
	{.id = "T-50a", .text = "EPT leaf R, user write", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x31), .access = VEC_U | VEC_W, VEC_VIOLATION(0x18a),
	 .event_gpa = VEC_FRAME + VEC_GVA_OFFSET},
	{.id = "T-50b", .text = "EPT leaf RX, user write", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x35), .access = VEC_U | VEC_W, VEC_VIOLATION(0x1aa)},
	{.id = "T-50c", .text = "EPT leaf 0, read", .stage2 = VEC_EPT,
	 .nested_final = VEC_SET(0), .access = VEC_U, VEC_VIOLATION(0x181)},
	{.id = "T-50d", .text = "EPT leaf 0, write", .stage2 = VEC_EPT,
	 .nested_final = VEC_SET(0), .access = VEC_U | VEC_W, VEC_VIOLATION(0x182)},
	{.id = "T-50e", .text = "EPT leaf 0, fetch", .stage2 = VEC_EPT,
	 .nested_final = VEC_SET(0), .access = VEC_U | VEC_X, VEC_VIOLATION(0x184)},
	{.id = "T-51", .text = "EPT leaf RW, fetch", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x33), .access = VEC_U | VEC_X, VEC_VIOLATION(0x19c)},
	{.id = "T-52", .text = "guest page fault before the final EPT walk", .stage2 = VEC_EPT,
	 .entry = {[1] = VEC_LEAF(0x05)}, .nested_final = VEC_SET(0), .access = VEC_W,
	 VEC_PF(0x3)},
	{.id = "T-53a", .text = "PD page not in EPT", .stage2 = VEC_EPT,
	 .nested_table = {[2] = VEC_SET(0)}, VEC_VIOLATION(0x081),
	 .event_gpa = VEC_ENTRY_GPA(2)},
	{.id = "T-53b", .text = "PD page not in EPT, A/D on", .stage2 = VEC_EPT, .eptp_add = 0x40,
	 .nested_table = {[2] = VEC_SET(0)}, VEC_VIOLATION(0x083),
	 .event_gpa = VEC_ENTRY_GPA(2)},
	{.id = "T-54a", .text = "PT page not writable, A/D on", .stage2 = VEC_EPT,
	 .eptp_add = 0x40, .entry = {[1] = VEC_LEAF(0x27)},
	 .nested_table = {[1] = VEC_NLEAF_OF(1, 0x35)}, .access = VEC_U, VEC_VIOLATION(0x0ab),
	 .event_gpa = VEC_ENTRY_GPA(1)},
	{.id = "T-54b", .text = "PT page not writable, A already set", .stage2 = VEC_EPT,
	 .entry = {[1] = VEC_LEAF(0x27)}, .nested_table = {[1] = VEC_NLEAF_OF(1, 0x35)},
	 .access = VEC_U},
	{.id = "T-54c", .text = "PT page not writable, A to set (bit 0 either)",
	 .stage2 = VEC_EPT, .nested_table = {[1] = VEC_NLEAF_OF(1, 0x35)}, .access = VEC_U,
	 VEC_VIOLATION(0x0aa), .code_mask = 0x21be, .event_gpa = VEC_ENTRY_GPA(1),
	 .after = {[1] = VEC_LEAF(0x07)}},
	{.id = "T-55a", .text = "EPT leaf W", .stage2 = VEC_EPT, .nested_final = VEC_NLEAF(0x32),
	 VEC_MISCONFIG, .event_gpa = VEC_FRAME + VEC_GVA_OFFSET},
	{.id = "T-55b", .text = "EPT leaf WX", .stage2 = VEC_EPT, .nested_final = VEC_NLEAF(0x36),
	 .access = VEC_X, VEC_MISCONFIG},
	{.id = "T-55c", .text = "EPT leaf X without exec-only", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x34), .access = VEC_X, VEC_MISCONFIG},
	{.id = "T-55d", .text = "EPT leaf X, fetch", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(0x34), .access = VEC_X},
	{.id = "T-55e", .text = "EPT leaf X, read", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(0x34),
	 VEC_VIOLATION(0x1a1)},
	{.id = "T-56a", .text = "EPT PDPTE bit 3", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[3] = VEC_NTABLE(3, 0xf)}, VEC_MISCONFIG,
	 .event_gpa = VEC_GVA_UNPAGED},
	{.id = "T-56b", .text = "EPT leaf type 2", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x17), VEC_MISCONFIG},
	{.id = "T-56c", .text = "EPT leaf type 3", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x1f), VEC_MISCONFIG},
	{.id = "T-56d", .text = "EPT leaf type 7", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x3f), VEC_MISCONFIG},
	{.id = "T-56e", .text = "EPT 2M leaf bit 12", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[2] = VEC_SET(0x10b7)}, VEC_MISCONFIG},
	{.id = "T-56f", .text = "EPT 2M leaf bit 20", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[2] = VEC_SET(0x1000b7)}, VEC_MISCONFIG},
	{.id = "T-56g", .text = "EPT leaf bit M", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(1ull << 46 | 0x37), VEC_MISCONFIG},
	{.id = "T-56h", .text = "EPT 1G leaf without 1G", .stage2 = VEC_EPT,
	 .paging = VEC_UNPAGED, .cpu_drop = UMBRA_CPU_EPT_1G,
	 .nested_upper = {[3] = VEC_SET(0xb7)}, VEC_MISCONFIG},
	{.id = "T-56i", .text = "EPT PML4E bit 7", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[4] = VEC_NTABLE(4, 0x87)}, VEC_MISCONFIG},
	{.id = "T-56j", .text = "EPT PTE bit 7 is ignored", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0xb7)},
	{.id = "T-56k", .text = "EPT 2M leaf", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[2] = VEC_SET(0xb7)}},
	{.id = "T-56l", .text = "EPT 1G leaf", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .nested_upper = {[3] = VEC_SET(0xb7)}},
	{.id = "T-57a", .text = "misconfiguration beats missing rights", .stage2 = VEC_EPT,
	 .paging = VEC_UNPAGED, .nested_upper = {[4] = VEC_NTABLE(4, 0x1)},
	 .nested_final = VEC_NLEAF(0x32), .access = VEC_W, VEC_MISCONFIG},
	{.id = "T-57b", .text = "absent entry: rights reported as 0", .stage2 = VEC_EPT,
	 .paging = VEC_UNPAGED,
	 .nested_upper = {[4] = VEC_NTABLE(4, 0x1), [2] = VEC_SET(0)}, .access = VEC_W,
	 VEC_VIOLATION(0x182)},
	{.id = "T-58a", .text = "MBEC RW+XU, user page, CPL 0 fetch", .stage2 = VEC_EPT,
	 .mbec = true, .nested_final = VEC_NLEAF(0x433), .access = VEC_X},
	{.id = "T-58b", .text = "MBEC RW+XU, sup page, fetch", .stage2 = VEC_EPT, .mbec = true,
	 .entry = {[1] = VEC_LEAF(0x03)}, .nested_final = VEC_NLEAF(0x433), .access = VEC_X,
	 VEC_VIOLATION(0x1dc)},
	{.id = "T-58c", .text = "MBEC RW+XU, unpaged fetch", .stage2 = VEC_EPT, .mbec = true,
	 .paging = VEC_UNPAGED, .nested_final = VEC_NLEAF(0x433), .access = VEC_X},
	{.id = "T-58d", .text = "MBEC RWX, user page, CPL 0 fetch", .stage2 = VEC_EPT,
	 .mbec = true, .nested_final = VEC_NLEAF(0x37), .access = VEC_X, VEC_VIOLATION(0x1bc)},
	{.id = "T-58e", .text = "MBEC RWX, user page, CPL 3 fetch", .stage2 = VEC_EPT,
	 .mbec = true, .nested_final = VEC_NLEAF(0x37), .access = VEC_U | VEC_X,
	 VEC_VIOLATION(0x1bc)},
	{.id = "T-58f", .text = "MBEC RWX, unpaged fetch", .stage2 = VEC_EPT, .mbec = true,
	 .paging = VEC_UNPAGED, .nested_final = VEC_NLEAF(0x37), .access = VEC_X,
	 VEC_VIOLATION(0x1bc)},
	{.id = "T-59a", .text = "leaf 400h without MBEC is absent", .stage2 = VEC_EPT,
	 .nested_final = VEC_NLEAF(0x400), .access = VEC_U, VEC_VIOLATION(0x181)},
	{.id = "T-59b", .text = "MBEC leaf 400h without exec-only", .stage2 = VEC_EPT,
	 .mbec = true, .nested_final = VEC_NLEAF(0x400), .access = VEC_U | VEC_X, VEC_MISCONFIG},
	{.id = "T-59c", .text = "MBEC leaf 400h, user fetch", .stage2 = VEC_EPT, .mbec = true,
	 .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(0x400),
	 .access = VEC_U | VEC_X},
	{.id = "T-59d", .text = "MBEC leaf 400h, user read", .stage2 = VEC_EPT, .mbec = true,
	 .cpu_add = UMBRA_CPU_EPT_EXECONLY, .nested_final = VEC_NLEAF(0x400), .access = VEC_U,
	 VEC_VIOLATION(0x1c1)},
	{.id = "T-60a", .text = "advanced information", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_EPT_ADVINFO, .wp_clear = true,
	 .entry = {[1] = VEC_LEAF(VEC_XD | 0x05)}, .nested_final = VEC_NLEAF(0x31),
	 .access = VEC_W, VEC_VIOLATION(0xb8a), .code_mask = 0x2fbf},
	{.id = "T-60b", .text = "advanced information, unpaged", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_EPT_ADVINFO, .paging = VEC_UNPAGED,
	 .nested_final = VEC_NLEAF(0x31), .access = VEC_W, VEC_VIOLATION(0x78a),
	 .code_mask = 0x2fbf},
	{.id = "T-61a", .text = "EPT A/D, read", .stage2 = VEC_EPT, .eptp_add = 0x40,
	 .access = VEC_U,
	 .after_nested_upper = {[4] = VEC_NTABLE(4, 0x107), [3] = VEC_NTABLE(3, 0x107),
				[2] = VEC_NTABLE(2, 0x107)},
	 .after_nested_final = VEC_NLEAF(0x137),
	 .after_nested_table = {[4] = VEC_NLEAF_OF(4, 0x337), [3] = VEC_NLEAF_OF(3, 0x337),
				[2] = VEC_NLEAF_OF(2, 0x337), [1] = VEC_NLEAF_OF(1, 0x337)}},
	{.id = "T-61b", .text = "EPT A/D, write", .stage2 = VEC_EPT, .eptp_add = 0x40,
	 .access = VEC_U | VEC_W, .after_nested_final = VEC_NLEAF(0x337)},
	{.id = "T-61c", .text = "EPT A/D off", .stage2 = VEC_EPT, .access = VEC_U | VEC_W,
	 .after_nested_final = VEC_NLEAF(0x37), .after_nested_table = {[1] = VEC_NLEAF_OF(1, 0x37)}},
	{.id = "T-63", .text = "GPA beyond 4-level EPT", .stage2 = VEC_EPT, .maxphyaddr = 52,
	 .entry = {[1] = VEC_LEAF(1ull << 48 | 7)}, VEC_VIOLATION(0x181), .code_mask = 0x2187,
	 .event_gpa = (1ull << 48 | VEC_FRAME) + VEC_GVA_OFFSET},
	{.id = "T-64a", .text = "EPT SSS page, sup SS write", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_SHSTK | UMBRA_CPU_EPT_SSS, .cr4_add = UMBRA_CR4_CET,
	 .eptp_add = 0x80, .entry = {[1] = VEC_LEAF(0x61)},
	 .nested_final = VEC_NLEAF(1ull << 60 | 0x31), .access = VEC_SS | VEC_W},
	{.id = "T-64b", .text = "EPT SSS page, user SS write", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_SHSTK | UMBRA_CPU_EPT_SSS, .cr4_add = UMBRA_CR4_CET,
	 .eptp_add = 0x80, .entry = {[1] = VEC_LEAF(0x65)},
	 .nested_final = VEC_NLEAF(1ull << 60 | 0x31), .access = VEC_U | VEC_SS | VEC_W,
	 VEC_VIOLATION(0x2002), .code_mask = 0x2002},
	{.id = "T-64c", .text = "EPT SSS page, ordinary write", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_SHSTK | UMBRA_CPU_EPT_SSS, .cr4_add = UMBRA_CR4_CET,
	 .eptp_add = 0x80, .nested_final = VEC_NLEAF(1ull << 60 | 0x31), .access = VEC_U | VEC_W,
	 VEC_VIOLATION(0x4002), .code_mask = 0x6002},
	{.id = "T-64d", .text = "EPT bit 60 clear, sup SS read", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_SHSTK | UMBRA_CPU_EPT_SSS, .cr4_add = UMBRA_CR4_CET,
	 .eptp_add = 0x80, .entry = {[1] = VEC_LEAF(0x61)}, .nested_final = VEC_NLEAF(0x31),
	 .access = VEC_SS, VEC_VIOLATION(0x2001), .code_mask = 0x6001},

	{.id = "T-64e", .text = "EPT non-leaf W=0, sup SS read", .stage2 = VEC_EPT,
	 .cpu_add = UMBRA_CPU_SHSTK | UMBRA_CPU_EPT_SSS, .cr4_add = UMBRA_CR4_CET,
	 .eptp_add = 0x80,
	 .entry = {[4] = VEC_TABLE(4, 0x27), [3] = VEC_TABLE(3, 0x27), [2] = VEC_TABLE(2, 0x27),
		   [1] = VEC_LEAF(0x61)},
	 .nested_upper = {[2] = VEC_NTABLE(2, 0x5)},
	 .nested_final = VEC_NLEAF(1ull << 60 | 0x31), .access = VEC_SS,
	 VEC_VIOLATION(0x6001), .code_mask = 0x6001},

	/* ---- NPT, T-70..T-80 ---- */
	{.id = "T-70a", .text = "NPT read", .amd = true, .stage2 = VEC_NPT, .access = VEC_U,
	 .after_nested_upper = {[4] = VEC_NTABLE(4, 0x27), [3] = VEC_NTABLE(3, 0x27),
				[2] = VEC_NTABLE(2, 0x27)},
	 .after_nested_final = VEC_NLEAF(0x27),
	 .after_nested_table = {[4] = VEC_NLEAF_OF(4, 0x67), [3] = VEC_NLEAF_OF(3, 0x67),
				[2] = VEC_NLEAF_OF(2, 0x67), [1] = VEC_NLEAF_OF(1, 0x67)}},
	{.id = "T-70b", .text = "NPT sup read", .amd = true, .stage2 = VEC_NPT},
	{.id = "T-70c", .text = "NPT write", .amd = true, .stage2 = VEC_NPT,
	 .access = VEC_U | VEC_W, .after_nested_final = VEC_NLEAF(0x67)},
	{.id = "T-71", .text = "nested U=0", .amd = true, .stage2 = VEC_NPT,
	 .nested_final = VEC_NLEAF(0x03), VEC_NPF_FINAL(0x5),
	 .event_gpa = VEC_FRAME + VEC_GVA_OFFSET},
	{.id = "T-72", .text = "nested R/W=0 whatever WP", .amd = true, .stage2 = VEC_NPT,
	 .wp_clear = true, .host_wp_clear = true, .nested_final = VEC_NLEAF(0x05),
	 .access = VEC_W, VEC_NPF_FINAL(0x7)},
	{.id = "T-73a", .text = "table page R/W=0, read", .amd = true, .stage2 = VEC_NPT,
	 .nested_table = {[1] = VEC_NLEAF_OF(1, 0x05)}, VEC_NPF_TABLE(0x7)},
	{.id = "T-73b", .text = "table page R/W=0, fetch", .amd = true, .stage2 = VEC_NPT,
	 .nested_table = {[1] = VEC_NLEAF_OF(1, 0x05)}, .access = VEC_X, VEC_NPF_TABLE(0x7)},
	{.id = "T-73c", .text = "ROGPT, A set", .amd = true, .stage2 = VEC_NPT, .rogpt = true,
	 .entry = {[1] = VEC_LEAF(0x27)}, .nested_table = {[1] = VEC_NLEAF_OF(1, 0x05)}},
	{.id = "T-73d", .text = "ROGPT, A to set", .amd = true, .stage2 = VEC_NPT, .rogpt = true,
	 .nested_table = {[1] = VEC_NLEAF_OF(1, 0x05)}, VEC_NPF_TABLE(0x7),
	 .after = {[1] = VEC_LEAF(0x07)}},
	{.id = "T-74a", .text = "nested absent, fetch", .amd = true, .stage2 = VEC_NPT,
	 .nested_final = VEC_SET(0), .access = VEC_X, VEC_NPF_FINAL(0x14)},
	{.id = "T-74b", .text = "nested absent, write", .amd = true, .stage2 = VEC_NPT,
	 .nested_final = VEC_SET(0), .access = VEC_W, VEC_NPF_FINAL(0x6)},
	{.id = "T-74c", .text = "table page absent", .amd = true, .stage2 = VEC_NPT,
	 .nested_table = {[1] = VEC_SET(0)}, .access = VEC_X, VEC_NPF_TABLE(0x6)},
	{.id = "T-75a", .text = "nested NX, fetch", .amd = true, .stage2 = VEC_NPT,
	 .nested_final = VEC_NLEAF(VEC_XD | 7), .access = VEC_X, VEC_NPF_FINAL(0x15)},
	{.id = "T-75b", .text = "nested NX, hNXE=0", .amd = true, .stage2 = VEC_NPT,
	 .host_nxe_clear = true, .nested_final = VEC_NLEAF(VEC_XD | 7), VEC_NPF_FINAL(0xd)},
	{.id = "T-76a", .text = "GMET, nested U, CPL 0 fetch", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true, .access = VEC_X, VEC_NPF_FINAL(0x11)},
	{.id = "T-76b", .text = "GMET, nested U, CPL 3 fetch", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true, .access = VEC_U | VEC_X},
	{.id = "T-76c", .text = "GMET, nested U, CPL 0 read", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true},
	{.id = "T-76d", .text = "GMET, nested U=0, CPL 0 fetch", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true, .nested_final = VEC_NLEAF(0x03), .access = VEC_X},
	{.id = "T-76e", .text = "GMET, nested U=0, CPL 3 fetch", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true, .nested_final = VEC_NLEAF(0x03), .access = VEC_U | VEC_X},
	{.id = "T-76f", .text = "GMET, guest SMEP comes first", .amd = true, .stage2 = VEC_NPT,
	 .gmet = true, .cr4_add = UMBRA_CR4_SMEP, .access = VEC_X, VEC_PF(0x11)},
	{.id = "T-77", .text = "guest page fault before the final nested walk", .amd = true,
	 .stage2 = VEC_NPT, .entry = {[1] = VEC_LEAF(0x05)}, .nested_final = VEC_SET(0),
	 .access = VEC_W, VEC_PF(0x3)},
	{.id = "T-79", .text = "unpaged guest, nested absent", .amd = true, .stage2 = VEC_NPT,
	 .paging = VEC_UNPAGED, .gva = 0x5000, VEC_NPF_FINAL(0x4), .event_gpa = 0x5000},
	{.id = "T-80a", .text = "NPT SSS page, sup SS write", .amd = true, .stage2 = VEC_NPT,
	 .npt_sss = true, VEC_CET, .entry = {[1] = VEC_LEAF(0x61)},
	 .nested_final = VEC_NLEAF(VEC_XD | 1), .access = VEC_SS | VEC_W},
	{.id = "T-80b", .text = "NPT ordinary page, sup SS write (US either)", .amd = true,
	 .stage2 = VEC_NPT, .npt_sss = true, VEC_CET, .entry = {[1] = VEC_LEAF(0x61)},
	 .access = VEC_SS | VEC_W, VEC_NPF_FINAL(0x43), .code_mask = ~4ull},
	{.id = "T-80c", .text = "NPT SSS page, fetch", .amd = true, .stage2 = VEC_NPT,
	 .npt_sss = true, VEC_CET, .nested_final = VEC_NLEAF(VEC_XD | 1), .access = VEC_X,
	 VEC_NPF_FINAL(1ull << 37 | 0x15)},
	{.id = "T-80d", .text = "NPT non-leaf R/W=0, sup SS read", .amd = true,
	 .stage2 = VEC_NPT, .rogpt = true, .npt_sss = true, VEC_CET,
	 .entry = {[4] = VEC_TABLE(4, 0x27), [3] = VEC_TABLE(3, 0x27), [2] = VEC_TABLE(2, 0x27),
		   [1] = VEC_LEAF(0x61)},
	 .nested_upper = {[2] = VEC_NTABLE(2, 0x05)}, .nested_final = VEC_NLEAF(VEC_XD | 1),
	 .access = VEC_SS, VEC_NPF_FINAL(1ull << 37 | 0x41), .code_mask = ~4ull},
	{.id = "T-80e", .text = "NPT U/S=0 without NX is no SSS page", .amd = true,
	 .stage2 = VEC_NPT, .npt_sss = true, VEC_CET, .entry = {[1] = VEC_LEAF(0x61)},
	 .nested_final = VEC_NLEAF(1), .access = VEC_SS | VEC_W, VEC_NPF_FINAL(0x43),
	 .code_mask = ~4ull},

	/* ---- every format once more, in pairs; named by the rule ---- */
	{.id = "H-26", .text = "32-bit guest, user write", .paging = VEC_32BIT,
	 .access = VEC_U | VEC_W, .after = {[2] = VEC_TABLE(2, 0x27), [1] = VEC_LEAF(0x67)}},
	{.id = "H-29", .text = "PAE guest, user write; PDPTEs have no A", .paging = VEC_PAE,
	 .access = VEC_U | VEC_W,
	 .after = {[3] = VEC_TABLE(3, 0x01), [2] = VEC_TABLE(2, 0x27), [1] = VEC_LEAF(0x67)}},
	{.id = "H-22", .text = "PAE guest, PDPTE in memory, reserved bit", .amd = true,
	 .paging = VEC_PAE, .entry = {[3] = VEC_TABLE(3, 0x03)}, VEC_PF(0x9)},
	{.id = "H-30", .text = "5-level guest, user write", .paging = VEC_5LEVEL,
	 .access = VEC_U | VEC_W,
	 .after = {[5] = VEC_TABLE(5, 0x27), [4] = VEC_TABLE(4, 0x27), [1] = VEC_LEAF(0x67)}},
	{.id = "H-91a", .text = "32-bit host: read", .amd = true, .stage2 = VEC_NPT,
	 .host_paging = VEC_32BIT, .after_nested_upper = {[2] = VEC_NTABLE(2, 0x27)},
	 .after_nested_final = VEC_NLEAF(0x27),
	 .after_nested_table = {[1] = VEC_NLEAF_OF(1, 0x67)}},
	{.id = "H-91b", .text = "32-bit host: fetch is never NX", .amd = true, .stage2 = VEC_NPT,
	 .host_paging = VEC_32BIT, .access = VEC_X},
	{.id = "H-91c", .text = "PAE host: read, PDPTE unchanged", .amd = true,
	 .stage2 = VEC_NPT, .host_paging = VEC_PAE,
	 .after_nested_upper = {[3] = VEC_NTABLE(3, 0x01), [2] = VEC_NTABLE(2, 0x27)},
	 .after_nested_final = VEC_NLEAF(0x27)},
	{.id = "H-91d", .text = "PAE host: NX, fetch", .amd = true, .stage2 = VEC_NPT,
	 .host_paging = VEC_PAE, .nested_final = VEC_NLEAF(VEC_XD | 7), .access = VEC_X,
	 VEC_NPF_FINAL(0x15)},
	{.id = "H-91e", .text = "5-level host: write", .amd = true, .stage2 = VEC_NPT,
	 .host_paging = VEC_5LEVEL, .access = VEC_W,
	 .after_nested_upper = {[5] = VEC_NTABLE(5, 0x27), [2] = VEC_NTABLE(2, 0x27)},
	 .after_nested_final = VEC_NLEAF(0x67)},
	{.id = "H-91f", .text = "32-bit guest on a 32-bit host, absent", .amd = true,
	 .stage2 = VEC_NPT, .paging = VEC_32BIT, .host_paging = VEC_32BIT,
	 .nested_final = VEC_SET(0), .access = VEC_U | VEC_W, VEC_NPF_FINAL(0x6),
	 .event_gpa = VEC_FRAME + VEC_GVA_OFFSET},
	{.id = "H-91g", .text = "32-bit host: GPA above 4G", .amd = true, .stage2 = VEC_NPT,
	 .host_paging = VEC_32BIT, .entry = {[1] = VEC_LEAF(1ull << 32 | 7)},
	 VEC_NPF_FINAL(0x4), .event_gpa = (1ull << 32 | VEC_FRAME) + VEC_GVA_OFFSET},
	{.id = "H-70a", .text = "5-level EPT, A/D, write", .stage2 = VEC_EPT,
	 .host_paging = VEC_5LEVEL, .eptp_add = 0x40, .access = VEC_W,
	 .after_nested_upper = {[5] = VEC_NTABLE(5, 0x107), [4] = VEC_NTABLE(4, 0x107)},
	 .after_nested_final = VEC_NLEAF(0x337)},
	{.id = "H-70b", .text = "5-level guest on 5-level EPT", .stage2 = VEC_EPT,
	 .paging = VEC_5LEVEL, .host_paging = VEC_5LEVEL},
	{.id = "H-70c", .text = "PAE guest on EPT, final absent", .stage2 = VEC_EPT,
	 .paging = VEC_PAE, .nested_final = VEC_SET(0), .access = VEC_W, VEC_VIOLATION(0x182)},
	{.id = "H-71", .text = "EPT PML5E bit 7", .stage2 = VEC_EPT, .paging = VEC_UNPAGED,
	 .host_paging = VEC_5LEVEL, .nested_upper = {[5] = VEC_NTABLE(5, 0x87)}, VEC_MISCONFIG},
};
/* clang-format on */
#define VECTOR_COUNT (sizeof(vectors) / sizeof(vectors[0]))

/* ---- what a row means ---- */

#define VEC_CPU_INTEL                                                                       \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_PSE36 |  \
	 UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_PKS | \
	 UMBRA_CPU_LA57 | UMBRA_CPU_NX | UMBRA_CPU_1G | UMBRA_CPU_LM | UMBRA_CPU_EPT_2M |   \
	 UMBRA_CPU_EPT_1G | UMBRA_CPU_EPT_AD | UMBRA_CPU_EPT_LEVEL5 | UMBRA_CPU_MBEC)
#define VEC_CPU_AMD                                                                          \
	(UMBRA_CPU_PSE | UMBRA_CPU_PAE | UMBRA_CPU_PGE | UMBRA_CPU_PAT | UMBRA_CPU_PSE36 |   \
	 UMBRA_CPU_PCID | UMBRA_CPU_SMEP | UMBRA_CPU_SMAP | UMBRA_CPU_PKU | UMBRA_CPU_LA57 | \
	 UMBRA_CPU_NX | UMBRA_CPU_1G | UMBRA_CPU_LM | UMBRA_CPU_GMET | UMBRA_CPU_ROGPT |     \
	 UMBRA_CPU_PDPTE_MEMORY | UMBRA_CPU_BIT8_MBZ | UMBRA_CPU_REWALK)

static inline struct umbra_cpu vec_cpu(const struct vector *v)
{
	return (struct umbra_cpu){
		.vendor = v->amd ? UMBRA_VENDOR_AMD : UMBRA_VENDOR_INTEL,
		.maxphyaddr = v->maxphyaddr ? v->maxphyaddr : 46,
		.features = ((v->amd ? VEC_CPU_AMD : VEC_CPU_INTEL) | v->cpu_add) & ~v->cpu_drop,
	};
}

/* Level of the root table; 0: unpaged. A PAE guest's PDPTEs are level 3. */
static inline int vec_top(enum vector_paging paging)
{
	static const uint8_t top[] = {4, 5, 3, 2, 0};

	return top[paging];
}

static inline uint64_t vec_gva(const struct vector *v)
{
	static const uint64_t gva[] = {VEC_GVA_LONG, VEC_GVA_LONG, VEC_GVA_LEGACY, VEC_GVA_LEGACY,
				       VEC_GVA_UNPAGED};

	return v->gva ? v->gva : gva[v->paging];
}

static inline unsigned vec_entry_size(enum vector_paging paging)
{
	return paging == VEC_32BIT ? 4 : 8;
}

/* Byte offset in its table of the entry that @addr uses at @level. */
static inline uint64_t vec_entry_offset(enum vector_paging paging, int level, uint64_t addr)
{
	if (paging == VEC_32BIT)
		return (addr >> (12 + 10 * (level - 1)) & 1023) * 4;
	if (paging == VEC_PAE && level == 3)
		return (addr >> 30 & 3) * 8;
	return (addr >> (12 + 9 * (level - 1)) & 511) * 8;
}

/* Guest entry of @level, 1..vec_top(): where and what, before the access. */
static inline uint64_t vec_guest_entry_at(const struct vector *v, int level)
{
	return VEC_GUEST_TABLE(level) + vec_entry_offset(v->paging, level, vec_gva(v));
}

static inline uint64_t vec_guest_entry(const struct vector *v, int level)
{
	if (v->entry[level].set)
		return v->entry[level].value;
	if (level == 1)
		return VEC_FRAME | 7;
	return VEC_GUEST_TABLE(level - 1) | (v->paging == VEC_PAE && level == 3 ? 1 : 7);
}

/* Nested entries: [2..top] of the path to GPA 0..2M, then leaves by GPA. */
static inline uint64_t vec_nested_upper_at(int level)
{
	return VEC_NESTED_TABLE(level);
}

static inline uint64_t vec_nested_upper(const struct vector *v, int level)
{
	if (v->nested_upper[level].set)
		return v->nested_upper[level].value;
	if (v->stage2 == VEC_NPT && v->host_paging == VEC_PAE && level == 3)
		return VEC_NESTED_TABLE(level - 1) | 1;
	return VEC_NESTED_TABLE(level - 1) | (v->mbec ? 0x407 : 0x7);
}

static inline uint64_t vec_nested_leaf_at(const struct vector *v, uint64_t gpa)
{
	return VEC_NESTED_TABLE(1) + vec_entry_offset(v->host_paging, 1, gpa);
}

static inline uint64_t vec_nested_leaf_default(const struct vector *v, uint64_t gpa)
{
	return gpa | (v->stage2 == VEC_EPT ? 0x37 : 0x7);
}

static inline uint64_t vec_nested_final(const struct vector *v)
{
	return v->nested_final.set ? v->nested_final.value : vec_nested_leaf_default(v, VEC_FRAME);
}

/* Leaf of the page that holds the guest's table of @level. */
static inline uint64_t vec_nested_table(const struct vector *v, int level)
{
	return v->nested_table[level].set ? v->nested_table[level].value
					  : vec_nested_leaf_default(v, VEC_GUEST_TABLE(level));
}

static inline uint64_t vec_eptp(const struct vector *v)
{
	int top = v->host_paging == VEC_5LEVEL ? 5 : 4;

	return VEC_NESTED_TABLE(top) | (uint64_t)(top - 1) << 3 | 6 | v->eptp_add;
}

static inline uint64_t vec_ncr3(const struct vector *v)
{
	return VEC_NESTED_TABLE(vec_top(v->host_paging));
}

/* CR4 and EFER bits that a paging mode itself needs. */
static inline uint64_t vec_cr4(enum vector_paging paging)
{
	static const uint64_t cr4[] = {UMBRA_CR4_PAE, UMBRA_CR4_PAE | UMBRA_CR4_LA57, UMBRA_CR4_PAE,
				       0, 0};

	return cr4[paging] | UMBRA_CR4_PGE;
}

static inline uint64_t vec_efer(enum vector_paging paging)
{
	return paging <= VEC_5LEVEL ? UMBRA_EFER_LME | UMBRA_EFER_LMA : 0;
}

static inline struct umbra_regs vec_regs(const struct vector *v)
{
	int top = vec_top(v->paging);
	struct umbra_regs regs = {
		.cr0 = UMBRA_CR0_PE | (top ? UMBRA_CR0_PG : 0) | (v->wp_clear ? 0 : UMBRA_CR0_WP),
		.cr3 = top ? VEC_GUEST_TABLE(top) : 0,
		.cr4 = vec_cr4(v->paging) | v->cr4_add,
		.efer = vec_efer(v->paging) | (v->nxe_clear ? 0 : UMBRA_EFER_NXE),
		.pkru = v->pkru,
		.pkrs = v->pkrs,
	};

	if (v->paging == VEC_PAE)
		regs.pdpte[vec_gva(v) >> 30 & 3] = vec_guest_entry(v, 3);
	return regs;
}

/* Bits of event.code that a row's expectation is about. */
static inline uint64_t vec_code_mask(const struct vector *v)
{
	if (v->code_mask)
		return v->code_mask;
	if (v->kind == UMBRA_EVENT_EPT_MISCONFIG)
		return 0;
	if (v->kind == UMBRA_EVENT_EPT_VIOLATION)
		return 0x21bfull | (v->mbec ? UMBRA_EPTQ_XU : 0);
	return ~0ull;
}

static inline uint64_t vec_gpa(const struct vector *v)
{
	return v->gpa ? v->gpa : VEC_FRAME | (vec_gva(v) & 0xfff);
}

#endif
