/* SPDX-License-Identifier: MIT */
/*
 * stage2.c - from guest-physical to host-physical: EPT (section 4) and NPT (5).
 *
 * Both formats are walked by one loop over bound masks; they differ in what a
 * use of the page needs (needs()) and in how a refusal is reported (refuse()).
 *
 *	use			EPT			NPT
 *	guest entry read	R (and W if A/D)	U, W (ROGPT: U)
 *	guest entry A/D		W			U, W
 *	PDPTE load		R			-
 *	final			R, W or X		U (not GMET), W or NX=0
 *
 * Guest-physical mappings (H-108) are looked up and stored here, in hostile mode.
 */
#include "cpu.h"

#include <string.h>

enum refusal { REFUSE_ABSENT, REFUSE_RESERVED, REFUSE_RIGHTS, REFUSE_REACH };

struct start {
	int level;
	uint64_t table;
	uint64_t all, upper;
};

/* Rights that @q must have, and rights that it must not have (GMET). */
static void needs(struct xlate *x, const struct s2_ask *q, unsigned *need, unsigned *never)
{
	const struct model_cpu *cpu = x->cpu;
	const struct model_state *s = &cpu->state;

	*never = 0;
	if (s->stage2 == MODEL_EPT) {
		switch (q->use) {
		case S2_READ_ENTRY: /* H-74: with A/D a write in disguise */
			*need = S2_R | (cpu->ept_ad ? S2_W : 0);
			return;
		case S2_UPDATE_ENTRY: *need = S2_W; return;
		case S2_LOAD_PDPTE: *need = S2_R; return;
		case S2_FINAL: break;
		}
		if (x->ss && !x->user && cpu->ept_sss)
			*need = S2_SSS;
		else if (x->fetch) /* H-75: the address decides, not CPL */
			*need = s->mbec && q->guest & PTE_U ? S2_XU : S2_X;
		else
			*need = x->write ? S2_W : S2_R;
		return;
	}
	*need = s->gmet ? 0 : S2_U; /* H-92, H-97 */
	if (q->use != S2_FINAL) {
		*need |= s->rogpt && q->use == S2_READ_ENTRY ? 0 : S2_W;
		return;
	}
	if (x->ss && !x->user && cpu->npt_sss) { /* H-99: the leaf's R/W does not matter */
		*need = S2_SSS;
		return;
	}
	*need |= (x->write ? S2_W : 0) | (x->fetch ? S2_X : 0);
	if (s->gmet && x->fetch && !x->user)
		*never = S2_U;
}

/* Does @q set D in the leaf? H-81; H-92 and H-98. */
static bool sets_dirty(const struct xlate *x, const struct s2_ask *q)
{
	const struct model_state *s = &x->cpu->state;

	switch (q->use) {
	case S2_FINAL: return x->write;
	case S2_UPDATE_ENTRY: return true;
	case S2_LOAD_PDPTE: return false;
	case S2_READ_ENTRY: break;
	}
	return s->stage2 == MODEL_EPT ? x->cpu->ept_ad : !s->rogpt;
}

/* H-79. */
static void ept_refuse(struct xlate *x, const struct s2_ask *q, enum refusal why, unsigned rights,
		       struct result *r)
{
	const struct model_cpu *cpu = x->cpu;
	bool final = q->use == S2_FINAL, write = x->write, fetch = x->fetch;
	uint64_t code = 0, defined = ~0x1ffffull | 0x21bf;

	if (why == REFUSE_RESERVED) {
		r->event.kind = UMBRA_EVENT_EPT_MISCONFIG;
		r->code_defined = 0;
		return;
	}
	r->event.kind = UMBRA_EVENT_EPT_VIOLATION;
	if (!final) {
		write = q->use == S2_UPDATE_ENTRY || (q->use == S2_READ_ENTRY && cpu->ept_ad);
		fetch = false;
		if (q->use == S2_UPDATE_ENTRY && !cpu->ept_ad)
			defined &= ~UMBRA_EPTQ_READ;
		if (x->ss) /* bit 13 for the walk of a shadow-stack access: no text */
			defined &= ~UMBRA_EPTQ_SHSTK;
	}
	if (fetch)
		code |= UMBRA_EPTQ_FETCH;
	else if (write)
		code |= UMBRA_EPTQ_WRITE;
	if (!fetch && (!write || (q->use == S2_READ_ENTRY && cpu->ept_ad)))
		code |= UMBRA_EPTQ_READ;
	/* H-83: the entry that decides is the absent one, or the leaf. */
	if (why == REFUSE_REACH)
		r->convertible = CONVERTIBLE_EITHER;
	else
		r->convertible = rights & S2_SVE ? CONVERTIBLE_NOT : CONVERTIBLE;
	if (why == REFUSE_RIGHTS) {
		code |= (rights & S2_R ? UMBRA_EPTQ_R : 0) | (rights & S2_W ? UMBRA_EPTQ_W : 0) |
			(rights & S2_X ? UMBRA_EPTQ_X : 0);
		if (cpu->state.mbec && rights & S2_XU)
			code |= UMBRA_EPTQ_XU;
		if (cpu->ept_sss) {
			code |= rights & S2_SSS_LEAF ? 1ull << 14 : 0;
			defined |= 1ull << 14;
		}
	}
	if (cpu->state.mbec)
		defined |= UMBRA_EPTQ_XU;
	if (why == REFUSE_REACH) /* H-84: no entry was used at all (U-10) */
		defined &= ~(UMBRA_EPTQ_R | UMBRA_EPTQ_W | UMBRA_EPTQ_X | UMBRA_EPTQ_XU);
	if (q->use != S2_LOAD_PDPTE) {
		code |= UMBRA_EPTQ_GVA | (final ? UMBRA_EPTQ_FINAL : 0);
		r->event.gva.v = x->la;
	}
	if (final && cpu->config.cpu.features & UMBRA_CPU_EPT_ADVINFO) {
		code |= (q->guest & PTE_U ? UMBRA_EPTQ_GUEST_U : 0) |
			(q->guest & PTE_W ? UMBRA_EPTQ_GUEST_W : 0) |
			(q->guest & PTE_XD ? 0 : UMBRA_EPTQ_GUEST_NX);
		defined |= UMBRA_EPTQ_GUEST_U | UMBRA_EPTQ_GUEST_W | UMBRA_EPTQ_GUEST_NX;
	}
	if (final && x->ss)
		code |= UMBRA_EPTQ_SHSTK;
	r->event.code = code;
	r->code_defined = defined;
}

#define NPF_SSS (1ull << 37)

/* H-95. */
static void npt_refuse(struct xlate *x, const struct s2_ask *q, enum refusal why, unsigned rights,
		       struct result *r)
{
	const struct model_state *s = &x->cpu->state;
	bool final = q->use == S2_FINAL;
	unsigned need, never;
	uint64_t code;

	needs(x, q, &need, &never);
	r->event.kind = UMBRA_EVENT_NPF;
	code = UMBRA_PF_U | (final ? UMBRA_NPF_FINAL : UMBRA_NPF_TABLE);
	if (why == REFUSE_RESERVED || why == REFUSE_RIGHTS)
		code |= UMBRA_PF_P;
	if (why == REFUSE_RESERVED)
		code |= UMBRA_PF_RSVD;
	if (final ? x->write : (need & S2_W) != 0)
		code |= UMBRA_PF_W;
	if (final && x->ss)
		code |= UMBRA_PF_SS;
	if (final && x->fetch) {
		bool nxe = s->hefer & UMBRA_EFER_NXE;

		if (nxe || ask(x, UNSURE_NPF_ID))
			code |= UMBRA_PF_I;
		if (s->gmet && !x->user && !ask(x, UNSURE_GMET_US))
			code &= ~UMBRA_PF_U;
	}
	r->code_defined = ~0ull;
	if (x->cpu->npt_sss) {
		if (why == REFUSE_RIGHTS && rights & S2_SSS_LEAF)
			code |= NPF_SSS;
		if (final && x->ss) /* U-12 */
			r->code_defined &= ~UMBRA_PF_U;
	}
	r->event.code = code;
}

/* @rights: of the page; of an absent entry only S2_SVE counts. */
static void refuse(struct xlate *x, const struct s2_ask *q, enum refusal why, unsigned rights,
		   struct result *r)
{
	memset(r, 0, sizeof(*r));
	r->event.gpa.v = q->gpa;
	if (x->cpu->state.stage2 == MODEL_EPT)
		ept_refuse(x, q, why, rights, r);
	else
		npt_refuse(x, q, why, rights, r);
}

/* Do @rights not do for @q? */
static bool lacks(struct xlate *x, const struct s2_ask *q, unsigned rights)
{
	const struct model_state *s = &x->cpu->state;
	unsigned need, never;
	bool refused;

	needs(x, q, &need, &never);
	/* H-74: bit 58 of the leaf gives W to paging's own accesses; its W only? (U-9) */
	if (s->stage2 == MODEL_EPT && s->paging_write && q->use != S2_FINAL &&
	    need & S2_W & ~rights && rights & S2_PWA &&
	    (rights & S2_UPPER_W || ask(x, UNSURE_PAGING_WRITE)))
		need &= ~S2_W;
	/* H-99: other data accesses are meant to reach U/S=0 pages of shadow stacks. */
	if (x->cpu->npt_sss && q->use == S2_FINAL && need & S2_U && !x->fetch &&
	    rights & S2_SSS_LEAF && !ask(x, UNSURE_SSS_DATA))
		need &= ~S2_U;
	refused = (rights & need) != need || rights & never;
	if (!refused && s->stage2 == MODEL_NPT && s->gmet && !x->fetch && !(rights & S2_U))
		refused = ask(x, UNSURE_GMET_DATA);
	return refused;
}

bool stage2_refuses(struct xlate *x, const struct s2_ask *q, const struct s2 *s2,
		    struct result *failure)
{
	if (!lacks(x, q, s2->rights))
		return false;
	refuse(x, q, REFUSE_RIGHTS, s2->rights, failure);
	return true;
}

/* @all, @upper: positive rights of all entries and of those above the leaf. */
static unsigned ept_rights(uint64_t all, uint64_t upper, uint64_t leaf, bool mbec)
{
	return (all & EPT_R ? S2_R : 0) | (all & EPT_W ? S2_W : 0) | (all & EPT_X ? S2_X : 0) |
	       (all & (mbec ? EPT_XU : EPT_X) ? S2_XU : 0) | (leaf & EPT_SSS ? S2_SSS_LEAF : 0) |
	       (all & EPT_R && upper & EPT_W && leaf & EPT_SSS ? S2_SSS : 0) |
	       (leaf & EPT_SVE ? S2_SVE : 0) | (leaf & EPT_PWA ? S2_PWA : 0) |
	       (upper & EPT_W ? S2_UPPER_W : 0);
}

static unsigned npt_rights(uint64_t all, uint64_t upper, uint64_t leaf)
{
	bool sss = leaf & PTE_XD && !(leaf & PTE_U);

	return S2_R | (all & PTE_W ? S2_W : 0) | (all & PTE_U ? S2_U : 0) |
	       (all & PTE_XD ? S2_X : 0) | (sss ? S2_SSS_LEAF : 0) |
	       (sss && upper & PTE_W ? S2_SSS : 0);
}

/* Guest-physical facts are tagged EPTRTA on Intel, ASID on AMD (H-107, H-109). */
static struct fact_tags nested_tags(const struct model_cpu *cpu)
{
	return (struct fact_tags){
		.tag = cpu->state.stage2 == MODEL_NPT ? cpu->state.tag : 0,
		.ept = cpu->tags.ept,
	};
}

/* The nested entries of a walk under way. */
struct nested_trail {
	uint64_t at[UMBRA_LEVEL_MAX + 1], value[UMBRA_LEVEL_MAX + 1];
};

/* What is still to be set in the entry of level @i: A, and D in the leaf. */
static uint64_t missing_flags(const struct paging *p, const struct nested_trail *t, int i,
			      bool dirty)
{
	return (p->level[i].accessed | (dirty ? p->dirty : 0)) & ~t->value[i];
}

static bool flags_missing(const struct paging *p, const struct nested_trail *t, int top, int leaf,
			  bool dirty)
{
	uint64_t missing = 0;

	for (int i = top; i >= leaf; i--)
		missing |= missing_flags(p, t, i, dirty && i == leaf);
	return missing;
}

/* Log @gpa, whose D has just been set (H-82). */
static void pml_log(struct model_cpu *cpu, uint64_t gpa)
{
	uint64_t at = cpu->state.pml_address + 8ull * cpu->state.pml_index;

	gpa &= ~0xfffull;
	mem_write(cpu->mem, &cpu->hint, at, &gpa, sizeof(gpa));
	cpu->state.pml_index--;
}

/* Set A in all entries used and D in the leaf. False: an entry changed under us. */
static bool set_flags(struct xlate *x, const struct s2_ask *q, struct nested_trail *t, int top,
		      int leaf)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	bool dirty = sets_dirty(x, q);

	for (int i = top; i >= leaf; i--) {
		uint64_t set = missing_flags(p, t, i, dirty && i == leaf);

		if (!set)
			continue;
		if (!mem_set_bits(cpu->mem, &cpu->table_hint, t->at[i], p->entry_size, t->value[i],
				  set)) {
			x->restart = true;
			return false;
		}
		t->value[i] |= set;
		if (cpu->pml && set & p->dirty)
			pml_log(cpu, q->gpa);
	}
	return true;
}

#define PML_ENTRIES 512

/*
 * Before any flag is set, an index out of range exits (H-82). An access may log
 * more than once; exploring changes nothing, so near the end both may happen.
 */
static bool pml_full(struct xlate *x, const struct s2_ask *q, const struct nested_trail *t, int top,
		     int leaf)
{
	const struct model_cpu *cpu = x->cpu;

	if (!cpu->pml || !flags_missing(&cpu->nested, t, top, leaf, sets_dirty(x, q)))
		return false;
	if (x->set && cpu->state.pml_index < 8)
		x->pml_close = true;
	return cpu->state.pml_index >= PML_ENTRIES;
}

static const struct result pml_exit = {.event.kind = UMBRA_EVENT_PML_FULL};

static void remember(struct xlate *x, const struct s2_ask *q, const struct s2 *s2)
{
	struct model_cpu *cpu = x->cpu;
	struct fact f = {
		.tags = nested_tags(cpu),
		.shift = s2->shift,
		.page = q->gpa >> s2->shift,
		.s2 = *s2,
	};

	f.s2.hpa &= ~low_bits(s2->shift);
	cache_add(&cpu->cache[FACT_NESTED_PAGE], &f);
	if (s2->shift <= 12)
		return;
	/* Parts of a large page may be cached by themselves; some outlive a fault elsewhere. */
	f.shift = f.s2.shift = 12;
	f.page = q->gpa >> 12;
	f.s2.hpa = s2->hpa & ~0xfffull;
	cache_add(&cpu->cache[FACT_NESTED_PAGE], &f);
}

static void remember_table(struct xlate *x, const struct paging *p, uint64_t gpa,
			   const struct start *s)
{
	struct model_cpu *cpu = x->cpu;
	unsigned shift = p->level[s->level + 1].shift;
	struct fact f = {
		.tags = nested_tags(cpu),
		.shift = (uint8_t)shift,
		.page = gpa >> shift,
		.s2 = {.hpa = s->table},
		.rights.all = s->all,
		.upper = s->upper,
	};

	cache_add(&cpu->cache[FACT_NESTED_TABLE], &f);
}

/* @dirty: D may be set in a leaf. */
static void visit(const struct model_visitor *visitor, const struct paging *p,
		  const struct s2_ask *q, const struct start *s, uint64_t hpa,
		  enum entry_class class, bool dirty)
{
	const bool leaf = class == ENTRY_LEAF;
	const struct model_entry entry = {
		.at.v = hpa,
		.gpa.v = q->gpa,
		.size = p->entry_size,
		.level = (uint8_t)s->level,
		.nested = true,
		.valid = class >= ENTRY_LEAF,
		.leaf = leaf,
		.may_set = class < ENTRY_LEAF
				   ? 0
				   : p->level[s->level].accessed | (leaf && dirty ? p->dirty : 0),
	};

	visitor->entry(visitor->context, &entry);
}

static void walk(struct xlate *x, const struct s2_ask *q, struct start s, struct s2_answer *a)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	struct nested_trail trail;
	struct start passed[UMBRA_LEVEL_MAX + 1];
	int top = s.level;
	const struct paging_level *l;
	uint64_t e;

	a->failed = true;
	if (p->address_bits < 64 && q->gpa >> p->address_bits) {
		refuse(x, q, REFUSE_REACH, 0, &a->failure); /* H-84, H-101 */
		return;
	}
	for (;; s.level--) {
		enum entry_class class;

		l = &p->level[s.level];
		passed[s.level] = s;
		trail.at[s.level] = s.table + (q->gpa >> l->shift & l->index_mask) * p->entry_size;
		e = mem_entry(cpu->mem, &cpu->table_hint, trail.at[s.level], p->entry_size);
		cpu->stats.entries_read++;
		trail.value[s.level] = e;
		class = entry_classify(x, p, s.level, e);
		if (x->visitor)
			visit(x->visitor, p, q, &s, trail.at[s.level], class,
			      q->use == S2_FINAL ? x->write : true);
		if (class == ENTRY_ABSENT || class == ENTRY_RESERVED) {
			refuse(x, q, class == ENTRY_ABSENT ? REFUSE_ABSENT : REFUSE_RESERVED,
			       e & EPT_SVE ? S2_SVE : 0, &a->failure);
			return;
		}
		s.all &= (e ^ p->inverted) | l->granted;
		if (class == ENTRY_LEAF)
			break;
		s.upper &= (e ^ p->inverted) | l->granted;
		s.table = e & l->table_mask;
	}
	a->s2.hpa =
		(paging_leaf_address(l, e) & ~low_bits(l->shift)) | (q->gpa & low_bits(l->shift));
	a->s2.shift = l->shift;
	a->s2.rights = (uint16_t)(p->ept ? ept_rights(s.all, s.upper, e, cpu->state.mbec)
					 : npt_rights(s.all, s.upper, e));
	a->s2.dirty = (e & p->dirty) == p->dirty;
	if (stage2_refuses(x, q, &a->s2, &a->failure))
		return;
	if (pml_full(x, q, &trail, top, s.level)) {
		a->failure = pml_exit;
		return;
	}
	a->failed = false;
	if (sets_dirty(x, q))
		a->s2.dirty = true;
	if (x->set)
		return;
	if (!set_flags(x, q, &trail, top, s.level)) {
		a->failed = true;
		return;
	}
	if (!cpu->hostile)
		return;
	for (int i = top - 1; i >= s.level; i--)
		remember_table(x, p, q->gpa, &passed[i]);
	remember(x, q, &a->s2);
}

static const uint8_t page_shifts[] = {12, 21, 22, 30};

/* Use guest-physical fact @f for @q; false if it cannot serve (its D is to be set). */
static bool from_fact(struct xlate *x, const struct s2_ask *q, const struct fact *f,
		      struct s2_answer *a)
{
	a->s2 = f->s2;
	a->s2.hpa |= q->gpa & low_bits(f->shift);
	a->failed = stage2_refuses(x, q, &a->s2, &a->failure);
	return a->failed || f->s2.dirty || !sets_dirty(x, q);
}

static struct start root_start(const struct paging *p)
{
	return (struct start){.level = p->top, .table = p->root, .all = ~0ull, .upper = ~0ull};
}

/* A start below the root, from table fact @f of @level. */
static struct start fact_start(const struct fact *f, int level)
{
	return (struct start){
		.level = level - 1, .table = f->s2.hpa, .all = f->rights.all, .upper = f->upper};
}

static struct fact *oldest_usable(struct cache *c, uint64_t address, unsigned shift,
				  const struct fact_tags *tags)
{
	struct fact *f = cache_first(c, address, shift);

	while (f && !fact_usable(f, tags))
		f = cache_next(c, f);
	return f;
}

/* One option: the oldest fact that serves, else a walk from the deepest table known. */
static void stage2_one(struct xlate *x, const struct s2_ask *q, struct s2_answer *a)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	struct fact_tags tags;
	const struct fact *best = NULL;

	if (!cpu->hostile) {
		walk(x, q, root_start(p), a);
		return;
	}
	tags = nested_tags(cpu);
	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		struct cache *c = &cpu->cache[FACT_NESTED_PAGE];

		for (struct fact *f = cache_first(c, q->gpa, page_shifts[i]); f;
		     f = cache_next(c, f)) {
			struct s2_answer candidate;

			if (!fact_usable(f, &tags) || !from_fact(x, q, f, &candidate))
				continue;
			if (!best || f->age < best->age) {
				best = f;
				*a = candidate;
			}
			break;
		}
	}
	if (best) {
		cpu->stats.hits++;
		return;
	}
	for (int level = 2; level <= p->top; level++) {
		struct fact *f = oldest_usable(&cpu->cache[FACT_NESTED_TABLE], q->gpa,
					       p->level[level].shift, &tags);

		if (f) {
			walk(x, q, fact_start(f, level), a);
			return;
		}
	}
	walk(x, q, root_start(p), a);
}

static bool same_answer(const struct s2_answer *a, const struct s2_answer *b)
{
	if (a->failed != b->failed)
		return false;
	if (a->failed)
		return a->failure.event.kind == b->failure.event.kind &&
		       a->failure.event.code == b->failure.event.code &&
		       a->failure.convertible == b->failure.convertible &&
		       a->failure.code_defined == b->failure.code_defined;
	return a->s2.hpa == b->s2.hpa && a->s2.rights == b->s2.rights && a->s2.dirty == b->s2.dirty;
}

static unsigned add_answer(struct s2_answer *answers, unsigned n, const struct s2_answer *a)
{
	for (unsigned i = 0; i < n; i++)
		if (same_answer(&answers[i], a))
			return n;
	if (n < S2_MAX)
		answers[n++] = *a;
	return n;
}

/* Every option: a fresh walk, every fact, every table fact as a start. */
static unsigned stage2_every(struct xlate *x, const struct s2_ask *q, struct s2_answer *answers)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	struct fact_tags tags = nested_tags(cpu);
	struct s2_answer a;
	unsigned n = 0;

	walk(x, q, root_start(p), &a);
	n = add_answer(answers, n, &a);
	if (x->pml_close) {
		a = (struct s2_answer){.failed = true, .failure = pml_exit};
		n = add_answer(answers, n, &a);
		x->pml_close = false;
	}
	if (!cpu->hostile)
		return n;
	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		struct cache *c = &cpu->cache[FACT_NESTED_PAGE];

		for (struct fact *f = cache_first(c, q->gpa, page_shifts[i]); f;
		     f = cache_next(c, f))
			if (fact_usable(f, &tags) && from_fact(x, q, f, &a))
				n = add_answer(answers, n, &a);
	}
	for (int level = 2; level <= p->top; level++) {
		struct cache *c = &cpu->cache[FACT_NESTED_TABLE];

		for (struct fact *f = cache_first(c, q->gpa, p->level[level].shift); f;
		     f = cache_next(c, f)) {
			if (!fact_usable(f, &tags))
				continue;
			walk(x, q, fact_start(f, level), &a);
			n = add_answer(answers, n, &a);
		}
	}
	return n;
}

/* ---- gathering, for follow.c ---- */

#define PASSED_MAX 32

struct passed {
	uint64_t at, all, upper;
	int level;
	bool cached;
};

struct nested_gather {
	struct xlate *x;
	const struct s2_ask *q;
	bool remembers;
	const struct model_visitor *visitor;
	struct s2_found *found;
	unsigned count, passed_count;
	struct passed passed[PASSED_MAX];
};

static void add_found(struct nested_gather *g, const struct s2 *s2, bool cached)
{
	for (unsigned i = 0; i < g->count; i++) {
		struct s2_found *f = &g->found[i];

		if (f->s2.hpa != s2->hpa || f->s2.rights != s2->rights ||
		    f->s2.shift != s2->shift || f->s2.dirty != s2->dirty)
			continue;
		f->cached |= cached;
		return;
	}
	if (g->count < S2_MAX)
		g->found[g->count++] = (struct s2_found){*s2, cached};
}

/* Was this entry met with as much known about it? */
static bool passed_before(struct nested_gather *g, const struct start *s, uint64_t at, bool cached)
{
	for (unsigned i = 0; i < g->passed_count; i++) {
		const struct passed *p = &g->passed[i];

		if (p->at == at && p->level == s->level && p->all == s->all &&
		    p->upper == s->upper && p->cached >= cached)
			return true;
	}
	if (g->passed_count < PASSED_MAX)
		g->passed[g->passed_count++] =
			(struct passed){at, s->all, s->upper, s->level, cached};
	return false;
}

/* A walk from @s, in which an entry is cached if its A is set, as are those above. */
static void gather_walk(struct nested_gather *g, struct start s)
{
	struct xlate *x = g->x;
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	const struct s2_ask *q = g->q;
	bool cached = g->remembers, leaf = false;
	struct s2 s2;

	while (!leaf) {
		const struct paging_level *l = &p->level[s.level];
		uint64_t at = s.table + (q->gpa >> l->shift & l->index_mask) * p->entry_size;
		enum entry_class class;
		uint64_t e, granted;

		if (passed_before(g, &s, at, cached))
			return;
		e = mem_entry(cpu->mem, &cpu->table_hint, at, p->entry_size);
		class = entry_classify(x, p, s.level, e);
		if (g->visitor)
			visit(g->visitor, p, q, &s, at, class, q->use != S2_FINAL || x->write);
		if (class < ENTRY_LEAF)
			return;
		cached &= !(l->accessed & ~e);
		if (!cached && !visits_all(g->visitor))
			return;
		granted = (e ^ p->inverted) | l->granted;
		s.all &= granted;
		leaf = class == ENTRY_LEAF;
		if (leaf) {
			s2.hpa = (paging_leaf_address(l, e) & ~low_bits(l->shift)) |
				 (q->gpa & low_bits(l->shift));
			s2.shift = l->shift;
			s2.rights =
				(uint16_t)(p->ept ? ept_rights(s.all, s.upper, e, cpu->state.mbec)
						  : npt_rights(s.all, s.upper, e));
			s2.dirty = (e & p->dirty) == p->dirty;
			break;
		}
		s.upper &= granted;
		s.table = e & l->table_mask;
		s.level--;
		if (cached)
			remember_table(x, p, q->gpa, &s);
	}
	if (cached)
		remember(x, q, &s2);
	/* A guest's table is read only with D set where that counts as a write. */
	if (q->use == S2_FINAL || !lacks(x, q, s2.rights))
		add_found(g, &s2, cached && (q->use == S2_FINAL || s2.dirty || !sets_dirty(x, q)));
}

unsigned stage2_gather(struct xlate *x, const struct s2_ask *q, bool remembers,
		       const struct model_visitor *visitor, struct s2_found *found)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->nested;
	const struct fact_tags tags = nested_tags(cpu);
	struct nested_gather g = {
		.x = x, .q = q, .remembers = remembers, .visitor = visitor, .found = found};
	struct cache *c = &cpu->cache[FACT_NESTED_TABLE];

	if (p->address_bits < 64 && q->gpa >> p->address_bits)
		return 0;
	gather_walk(&g, root_start(p));
	/* Downwards: what one level finds may be a start on the next. */
	for (int level = p->top; level >= 2; level--) {
		struct fact *f = cache_first(c, q->gpa, p->level[level].shift);

		while (f) {
			const uint32_t index = (uint32_t)(f - c->facts);

			if (fact_usable(f, &tags))
				gather_walk(&g, fact_start(f, level));
			f = cache_next(c, &c->facts[index]); /* facts may have moved */
		}
	}
	c = &cpu->cache[FACT_NESTED_PAGE];
	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		for (struct fact *f = cache_first(c, q->gpa, page_shifts[i]); f;
		     f = cache_next(c, f)) {
			struct s2 s2 = f->s2;

			if (!fact_usable(f, &tags))
				continue;
			s2.hpa |= q->gpa & low_bits(f->shift);
			if (q->use == S2_FINAL ||
			    (!lacks(x, q, s2.rights) && (s2.dirty || !sets_dirty(x, q))))
				add_found(&g, &s2, remembers);
		}
	}
	return g.count;
}

unsigned stage2(struct xlate *x, const struct s2_ask *q, struct s2_answer *answers)
{
	if (x->cpu->state.stage2 == MODEL_NATIVE) {
		answers->s2 =
			(struct s2){.hpa = q->gpa, .rights = S2_ALL, .shift = 52, .dirty = true};
		answers->failed = false;
		return 1;
	}
	if (x->set)
		return stage2_every(x, q, answers);
	stage2_one(x, q, answers);
	return 1;
}
