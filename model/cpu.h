/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the CPU inside, and one translation under way.
 *
 * A translation is written once, as a nondeterministic machine (translate.c):
 * where the manuals leave a choice it has a list of options. model_access()
 * takes the first option, with effects; model_legal() takes them all, without.
 */
#ifndef MODEL_CPU_H
#define MODEL_CPU_H

#include "format.h"
#include "mem.h"
#include "model.h"
#include "tlb.h"

struct model_cpu {
	struct model_mem *mem;
	struct model_config config;
	struct model_state state;
	/* derived from the state by cpu_bind() */
	struct paging guest, nested;
	struct fact_tags tags;
	bool hostile, rewalk;
	bool wp, smep, smap, pke, pks, nxe, pge, fetch_bit;
	bool ept_ad, ept_sss, npt_sss, pml;
	unsigned max_linear_bits; /* that the CPU has, whatever CR4.LA57 (H-5) */
	unsigned linear_bits; /* 0: 32-bit addresses that wrap; else canonical width */

	struct cache cache[FACT_KINDS];
	unsigned hint, table_hint; /* of mem_ptr(), for data and for entries */
	uint64_t random;
	const struct model_load *load_as; /* NULL, or see model_load_as() */
	struct model_stats stats;
};

/** cpu_bind - recompute what is derived, after any change of cpu->state. */
void cpu_bind(struct model_cpu *cpu);

/* Points that the sheet calls unsure and that change an outcome: each bit makes the
 * translation go the way that it does not go by default. */
#define UNSURE_RSVD_DROP (1u << 0) /* doubtful reserved bits are ignored: U-1, U-2 */
#define UNSURE_RSVD_ADD (1u << 1) /* AMD bit 8 of a PDPTE is reserved: U-1 */
#define UNSURE_PK (1u << 2) /* PK for a user access to a keyed supervisor page: U-6 */
#define UNSURE_ID (1u << 3) /* I/D on AMD with SMEP and without NXE: U-7 */
#define UNSURE_NPF_ID (1u << 4) /* I/D of EXITINFO1 with hNXE=0: H-95 */
#define UNSURE_GMET_US (1u << 5) /* US of EXITINFO1 for a fetch under GMET: U-12 */
#define UNSURE_GMET_DATA (1u << 6) /* data access to a U/S=0 page under GMET: U-12 */
#define UNSURE_A_EAGER (1u << 7) /* A set on the way down: H-60 */
#define UNSURE_A_DENIED (1u << 8) /* A set in the leaf of a denied access: U-4 */
#define UNSURE_SSS_DATA (1u << 9) /* data access to a U/S=0 shadow-stack page of NPT: U-12 */
#define UNSURE_AD_LAST (1u << 10) /* A/D set after the final second-stage walk: U-5 */
#define UNSURE_PAGING_WRITE (1u << 11) /* bit 58 stands for W of all levels: U-9 */
#define UNSURE_LAST UNSURE_PAGING_WRITE

/* May an EPT violation become a #VE, as far as the entry goes (H-83)? */
enum convertible {
	CONVERTIBLE_NOT,
	CONVERTIBLE,
	CONVERTIBLE_EITHER, /* no entry decided: U-10 */
};

/** struct result - what became of one page-contained piece. */
struct result {
	struct umbra_event event;
	uint64_t code_defined;
	enum convertible convertible;
	uint64_t gpa, hpa;
};

#define RESULT_MAX 256
struct result_set {
	unsigned count;
	struct result r[RESULT_MAX];
};

struct trail {
	uint64_t gpa, value;
	struct s2 s2;
	uint64_t all, upper; /* rights before this entry */
};

#define SEEN_MAX 128
struct seen {
	uint64_t hpa, gpa, all, upper;
	uint8_t level, pending;
	bool asks, from_cache;
};

struct xlate {
	struct model_cpu *cpu;
	uint64_t la;
	unsigned access;
	bool user, write, fetch, ss;
	/* Set: collect every legal result into it. NULL: do it, result in .result. */
	struct result_set *set;
	unsigned unsure, asked; /* UNSURE_*: taken, and met */
	bool use_linear; /* linear facts may be used */
	bool from_cache; /* this path began at one */
	bool speculative; /* A walk nobody asked for: no faults, no D, H-61 */
	bool restart; /* an entry changed under a locked update: H-58 */
	bool pml_close; /* legal: the log may fill up within this access */
	bool leaf_seen; /* legal: a present leaf that a D update could hit: H-122 */
	const struct model_visitor *visitor; /* NULL, or told of each entry that may be read */
	uint8_t leaf_shift; /* size of the last guest leaf met */
	struct result result;
	struct trail trail[UMBRA_LEVEL_MAX + 1];
	int trail_top; /* highest level of this path that is in trail[] */
	unsigned seen_count;
	struct seen seen[SEEN_MAX];
};

/** ask - does this path take unsure point @bit? Records that it matters. */
static inline bool ask(struct xlate *x, unsigned bit)
{
	x->asked |= bit;
	return x->unsure & bit;
}

enum entry_class { ENTRY_ABSENT, ENTRY_RESERVED, ENTRY_LEAF, ENTRY_TABLE };

/** entry_classify - steps 2..4 of H-32, H-76 in one entry. */
enum entry_class entry_classify(struct xlate *x, const struct paging *p, int level, uint64_t e);

/* ---- rights.c ---- */

/** rights_pf_code - error code of a #PF without P, RSVD and PK (H-55). */
uint64_t rights_pf_code(struct xlate *x);
/** rights_denied - 0, or the whole error code with which @r is refused (H-52, H-53). */
uint64_t rights_denied(struct xlate *x, const struct page_rights *r);

/* ---- stage2.c ---- */

enum s2_use {
	S2_READ_ENTRY, /* the walk reads a guest entry */
	S2_UPDATE_ENTRY, /* A or D of a guest entry is set */
	S2_FINAL, /* the access itself */
	S2_LOAD_PDPTE, /* MOV CR loads PDPTE registers (H-78) */
};

struct s2_ask {
	uint64_t gpa;
	enum s2_use use;
	uint64_t guest; /* final: rights of the guest's tables, positive bits */
};

struct s2_answer {
	struct s2 s2;
	bool failed;
	struct result failure;
};

/** visits_all - is @visitor to be told of what no CPU can have read yet? */
static inline bool visits_all(const struct model_visitor *visitor)
{
	return visitor && !visitor->known_only;
}

#define S2_MAX 64
/** stage2 - options for @q; exactly one when there are effects. */
unsigned stage2(struct xlate *x, const struct s2_ask *q, struct s2_answer *answers);
/** struct s2_found - where a GPA could be according to some CPU's cache. */
struct s2_found {
	struct s2 s2;
	/** False: not before some A or D bit is set; only a visitor goes on from here. */
	bool cached;
};
/** stage2_gather - every place of q->gpa that a CPU could know by now, S2_MAX at most;
 * fills the caches of guest-physical facts if @remembers. */
unsigned stage2_gather(struct xlate *x, const struct s2_ask *q, bool remembers,
		       const struct model_visitor *visitor, struct s2_found *found);
/** stage2_refuses - true if @rights do not do for @q; then *failure says how it exits. */
bool stage2_refuses(struct xlate *x, const struct s2_ask *q, const struct s2 *s2,
		    struct result *failure);

/* ---- ve.c ---- */

/** ve_possible - whatever the entry says, would a violation now be a #VE? @delivering:
 * of an access that delivers an event. */
bool ve_possible(const struct model_cpu *cpu, bool delivering);
/** ve_deliver - make @r a #VE, and fill in the information area, if it becomes one. */
void ve_deliver(struct model_cpu *cpu, bool delivering, struct result *r);

/* ---- translate.c ---- */

/** translate - one page-contained piece, with effects, into x->result. */
void translate(struct model_cpu *cpu, uint64_t la, unsigned access, struct result *result);
/** translate_all - every result that the piece may have now. */
void translate_all(struct model_cpu *cpu, uint64_t la, unsigned access, struct result_set *set);
/** translate_visit - tell @visitor of each entry that the piece may read. */
void translate_visit(struct model_cpu *cpu, uint64_t la, unsigned access,
		     const struct model_visitor *visitor);
/** translate_held - does a cached page give @piece to this access, nothing left to set? */
bool translate_held(struct model_cpu *cpu, uint64_t la, unsigned access,
		    const struct model_piece *piece);
/** translate_start - a piece about to be translated, no path begun. */
void translate_start(struct xlate *x, struct model_cpu *cpu, uint64_t la, unsigned access);
/** translate_remember - cache that x->la is @gpa; x->trail[0].value: its leaf, for G. */
void translate_remember(struct xlate *x, const struct page_rights *r, uint64_t gpa,
			const struct s2 *s2, unsigned guest_shift);
/** translate_leaf_shift - size of the guest page that maps @la now; 0: none; HIDDEN: its
 * tables are where the second stage has nothing. */
#define TRANSLATE_HIDDEN 63u
unsigned translate_leaf_shift(struct model_cpu *cpu, uint64_t la);

/* ---- control.c ---- */

/** control_eptp_valid - would VM entry accept @eptp (H-70)? */
bool control_eptp_valid(const struct umbra_cpu *cpu, uint64_t eptp);
/** control_eptrta - the tag that @eptp stands for (H-107). */
uint64_t control_eptrta(uint64_t eptp);

/* ---- flush.c: what H-112 makes a CPU forget ---- */

enum flush_event {
	FLUSH_PG_CLEARED,
	FLUSH_PG_SET,
	FLUSH_PGE,
	FLUSH_PCIDE_CLEARED,
	FLUSH_PAE,
	FLUSH_SMEP_SET,
	FLUSH_PSE,
	FLUSH_PKE_SET,
	FLUSH_EVENTS
};
/** flush_control - a MOV CR did @event. */
void flush_control(struct model_cpu *cpu, enum flush_event event);
/** flush_pcid - non-global pages and all tables of @pcid, current tag. */
void flush_pcid(struct model_cpu *cpu, uint16_t pcid);
/** flush_pf - #PF on @la (before deciding, on CPUs that re-walk). */
void flush_pf(struct model_cpu *cpu, uint64_t la);
/** flush_s2_fault - violation or NPF on @gpa (H-123). */
void flush_s2_fault(struct model_cpu *cpu, uint64_t gpa, bool final, uint64_t la);
/** flush_combined - what carries VPID @tag and was made under EPT, whichever. */
void flush_combined(struct model_cpu *cpu, uint16_t tag);
/** flush_tag - everything that carries VPID/ASID @tag; nested facts too if @nested. */
void flush_tag(struct model_cpu *cpu, uint16_t tag, bool globals, bool nested);

#endif
