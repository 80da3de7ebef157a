/* SPDX-License-Identifier: MIT */
/*
 * translate.c - one page-contained piece, from linear to physical address.
 *
 *	page fact? -----------------------------> rights -> second stage's rights
 *	table fact or root -> entry -> ... -> leaf -> rights -> A/D -> second stage
 *
 * It is written as a nondeterministic machine, after hardware-facts 6.4. With
 * x->set it explores every choice (which cached fact, which start, which answer
 * of the second stage, which reading of an unsure point) and collects results,
 * changing nothing. Without, it takes the first choice: the oldest usable page
 * fact, else the deepest and then oldest table fact, else the root; and it
 * updates A/D, fills the caches and invalidates after faults.
 *
 * Invariant: whatever the machine does with effects is one of the paths that it
 * explores without. tests/model/random.c holds it to that.
 */
#include "cpu.h"

#include <string.h>

/* A guest walk about to read an entry of .level. */
struct step {
	int level;
	uint64_t table; /* GPA */
	uint64_t all, upper;
	const struct s2 *s2; /* of the table, from a table fact; NULL: not known yet */
};

static const uint8_t page_shifts[] = {12, 21, 22, 30};

static void guest_step(struct xlate *x, struct step s);

/* ---- results ---- */

static bool same_result(const struct result *a, const struct result *b)
{
	return a->event.kind == b->event.kind && a->event.code == b->event.code &&
	       a->code_defined == b->code_defined && a->convertible == b->convertible &&
	       a->event.gva.v == b->event.gva.v && a->event.gpa.v == b->event.gpa.v &&
	       a->gpa == b->gpa && a->hpa == b->hpa;
}

static void emit(struct xlate *x, const struct result *r)
{
	if (!x->set) {
		x->result = *r;
		return;
	}
	for (unsigned i = 0; i < x->set->count; i++)
		if (same_result(&x->set->r[i], r))
			return;
	if (x->set->count < RESULT_MAX)
		x->set->r[x->set->count++] = *r;
}

static void emit_done(struct xlate *x, uint64_t gpa, uint64_t hpa)
{
	struct result r = {.gpa = gpa, .hpa = hpa};

	emit(x, &r);
}

/* #PF. CPUs that re-walk believe only a walk from the root (H-120). */
static void emit_pf(struct xlate *x, uint64_t code)
{
	struct result r = {
		.event = {.kind = UMBRA_EVENT_PF, .code = code, .gva.v = x->la},
		.code_defined = ~0ull,
	};

	if (x->from_cache && x->cpu->rewalk) {
		if (!x->set) {
			flush_pf(x->cpu, x->la);
			x->use_linear = false;
			x->restart = true;
		}
		return;
	}
	emit(x, &r);
	if (!x->set && x->cpu->hostile && !x->speculative)
		flush_pf(x->cpu, x->la);
}

static void emit_s2_failure(struct xlate *x, const struct result *r, bool final)
{
	if (x->restart)
		return;
	emit(x, r);
	if (x->set || !x->cpu->hostile || x->speculative)
		return;
	if (r->event.kind == UMBRA_EVENT_EPT_VIOLATION || r->event.kind == UMBRA_EVENT_NPF)
		flush_s2_fault(x->cpu, r->event.gpa.v, final, x->la);
}

/* ---- Accessed and Dirty ---- */

/* Would setting bits in the entry of @level involve the second stage again? */
static bool update_asks_s2(const struct xlate *x, int level)
{
	const struct s2 *s2 = &x->trail[level].s2;

	return x->cpu->state.stage2 != MODEL_NATIVE && (!(s2->rights & S2_W) || !s2->dirty);
}

/* Levels above @level whose A is still to be set and may exit doing so. */
static unsigned pending(const struct xlate *x, int level)
{
	unsigned mask = 0;

	for (int i = x->trail_top; i > level; i--)
		if (x->cpu->guest.level[i].accessed & ~x->trail[i].value && update_asks_s2(x, i))
			mask |= 1u << i;
	return mask;
}

/* Set @set in the entry of @level. False: this path ended (exit, or restart). */
static bool set_flags(struct xlate *x, int level, uint64_t set)
{
	struct model_cpu *cpu = x->cpu;
	struct trail *t = &x->trail[level];

	if ((t->value & set) == set)
		return true;
	if (update_asks_s2(x, level)) {
		struct s2_ask q = {.gpa = t->gpa, .use = S2_UPDATE_ENTRY};
		struct s2_answer answers[S2_MAX];
		unsigned n = stage2(x, &q, answers);
		bool allowed = false;

		for (unsigned i = 0; i < n; i++) {
			if (answers[i].failed)
				emit_s2_failure(x, &answers[i].failure, false);
			else
				allowed = true;
		}
		if (!allowed || x->restart)
			return false;
		/* The entry was read through an old mapping and is elsewhere now: the
		 * CPU forgets that mapping and looks again (it always may, H-110). */
		if (!x->set && answers[0].s2.hpa != t->s2.hpa) {
			flush_s2_fault(cpu, t->gpa, false, x->la);
			flush_pf(cpu, x->la);
			x->restart = true;
			return false;
		}
	}
	if (x->set)
		return true;
	/* H-58: only into the entry that was read; otherwise look again. */
	if (!mem_set_bits(cpu->mem, &cpu->table_hint, t->s2.hpa, cpu->guest.entry_size, t->value,
			  set)) {
		x->restart = true;
		return false;
	}
	t->value |= set;
	return true;
}

/* Set A from the top of the path down to @level. */
static bool set_accessed(struct xlate *x, int level)
{
	for (int i = x->trail_top; i >= level; i--)
		if (!set_flags(x, i, x->cpu->guest.level[i].accessed))
			return false;
	return true;
}

/* ---- filling the caches (H-104..H-106) ---- */

/* Table facts of this path: entries above @level, as far as their A is set. */
static void remember_tables(struct xlate *x, int level)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->guest;

	for (int i = x->trail_top; i > level; i--) {
		const struct trail *below = &x->trail[i - 1];
		struct fact f = {
			.tags = cpu->tags,
			.shift = p->level[i].shift,
			.page = x->la >> p->level[i].shift,
			.gpa = below->gpa & ~0xfffull,
			.s2 = below->s2,
			.rights.all = below->all,
			.upper = below->upper,
		};

		if (p->level[i].accessed & ~x->trail[i].value)
			return;
		f.s2.hpa &= ~0xfffull;
		cache_add(&cpu->cache[FACT_TABLE], &f);
	}
}

/* A large page may be cached piecemeal, and the pieces outlive it (H-114). */
static void remember_fragment(struct xlate *x, struct fact f)
{
	uint64_t offset = x->la & low_bits(f.shift) & ~0xfffull;

	f.shift = f.s2.shift = 12;
	f.page = x->la >> 12;
	f.gpa |= offset;
	f.s2.hpa |= offset;
	cache_add(&x->cpu->cache[FACT_PAGE], &f);
}

/* A page fact of the size that both stages allow, and a 4K fragment of it. */
void translate_remember(struct xlate *x, const struct page_rights *r, uint64_t gpa,
			const struct s2 *s2, unsigned guest_shift)
{
	struct model_cpu *cpu = x->cpu;
	bool global = cpu->pge && x->trail[0].value & PTE_G;
	unsigned shift = guest_shift < s2->shift ? guest_shift : s2->shift;
	struct fact f = {
		.tags = cpu->tags,
		.whole_shift = (uint8_t)guest_shift,
		.s2 = *s2,
		.rights = *r,
	};

	f.tags.global = global;
	f.shift = f.s2.shift = (uint8_t)shift;
	f.page = x->la >> shift;
	f.gpa = gpa & ~low_bits(shift);
	f.s2.hpa = s2->hpa & ~low_bits(shift);
	cache_add(&cpu->cache[FACT_PAGE], &f);
	if (shift > 12)
		remember_fragment(x, f);
}

/* ---- the walk ---- */

/* The second stage of the access itself, after the guest agreed. */
static void final_stage(struct xlate *x, const struct page_rights *r, uint64_t gpa,
			unsigned guest_shift)
{
	struct s2_ask q = {.gpa = gpa, .use = S2_FINAL, .guest = r->all};
	struct s2_answer answers[S2_MAX];
	unsigned n = stage2(x, &q, answers);

	for (unsigned i = 0; i < n && !x->restart; i++) {
		if (answers[i].failed) {
			emit_s2_failure(x, &answers[i].failure, true);
			continue;
		}
		emit_done(x, gpa, answers[i].s2.hpa);
		if (!x->set && x->cpu->hostile)
			translate_remember(x, r, gpa, &answers[i].s2, guest_shift);
	}
}

/* CPUs with shadow stacks set no D in an entry without R/W (H-59). */
static bool sets_dirty(const struct xlate *x, const struct page_rights *r)
{
	return r->leaf_w || !(x->cpu->config.cpu.features & UMBRA_CPU_SHSTK);
}

/* A and D of a permitted access. */
static bool update_path(struct xlate *x, int level, struct page_rights *r)
{
	const struct paging *p = &x->cpu->guest;
	uint64_t set = p->level[level].accessed;

	/* Shadow-stack writes never need D (H-54). CPUs with shadow stacks do not
	 * make a shadow-stack page by setting D where R/W=0 (H-59, U-3). */
	if (x->write && !x->ss && sets_dirty(x, r))
		set |= p->dirty;
	if (!set_accessed(x, level + 1) || !set_flags(x, level, set))
		return false;
	r->dirty |= set & p->dirty;
	return true;
}

static bool wants_denied_a(struct xlate *x, int level)
{
	if (!x->set)
		return x->cpu->config.choices & MODEL_A_ON_DENIED;
	return (pending(x, level) || update_asks_s2(x, level)) && ask(x, UNSURE_A_DENIED);
}

static void guest_leaf(struct xlate *x, const struct step *s, uint64_t e)
{
	const struct paging_level *l = &x->cpu->guest.level[s->level];
	uint64_t leaf = (e ^ x->cpu->guest.inverted) | l->granted;
	struct page_rights r = {
		.all = s->all & leaf,
		.upper_w = s->upper & PTE_W,
		.leaf_w = leaf & PTE_W,
		.dirty = e & PTE_D,
		.key = x->cpu->guest.entry_size == 8 ? e >> 59 & 15 : 0,
	};
	uint64_t gpa = paging_leaf_address(l, e) | (x->la & low_bits(l->shift));
	uint64_t code = x->speculative ? 0 : rights_denied(x, &r);

	x->leaf_shift = l->shift;
	if (r.leaf_w || !(x->cpu->config.cpu.features & UMBRA_CPU_SHSTK))
		x->leaf_seen = true;
	if (code) {
		if (wants_denied_a(x, s->level) && !set_accessed(x, s->level))
			return;
		emit_pf(x, code);
		return;
	}
	/* U-5: exits of an A/D update and of the final GPA may come in either order. */
	if (x->set && (pending(x, s->level) || update_asks_s2(x, s->level)) &&
	    ask(x, UNSURE_AD_LAST)) {
		struct s2_ask q = {.gpa = gpa, .use = S2_FINAL, .guest = r.all};
		struct s2_answer answers[S2_MAX];
		unsigned n = stage2(x, &q, answers);

		for (unsigned i = 0; i < n; i++)
			if (answers[i].failed)
				emit_s2_failure(x, &answers[i].failure, true);
	}
	if (!update_path(x, s->level, &r))
		return;
	if (!x->set && x->cpu->hostile) {
		remember_tables(x, s->level);
		x->trail[0].value = e; /* for the G bit */
	}
	final_stage(x, &r, gpa, l->shift);
}

/* Has a path in this same state been explored already? */
static bool seen_before(struct xlate *x, const struct step *s, const struct trail *t)
{
	struct seen now = {.hpa = t->s2.hpa,
			   .gpa = t->gpa,
			   .all = s->all,
			   .upper = s->upper,
			   .level = (uint8_t)s->level,
			   .asks = update_asks_s2(x, s->level),
			   .from_cache = x->from_cache,
			   .pending = (uint8_t)pending(x, s->level)};

	for (unsigned i = 0; i < x->seen_count; i++) {
		const struct seen *old = &x->seen[i];

		if (old->hpa == now.hpa && old->gpa == now.gpa && old->all == now.all &&
		    old->upper == now.upper && old->level == now.level &&
		    old->pending == now.pending && old->asks == now.asks &&
		    old->from_cache == now.from_cache)
			return true;
	}
	if (x->seen_count < SEEN_MAX)
		x->seen[x->seen_count++] = now;
	return false;
}

/* H-60: entries passed before a fault may get A at once, or never. */
static bool eager_a(struct xlate *x, int level)
{
	if (!x->set)
		return x->cpu->config.choices & MODEL_A_ON_FAULT;
	return x->cpu->guest.level[level].accessed & ~x->trail[level].value &&
	       update_asks_s2(x, level) && ask(x, UNSURE_A_EAGER);
}

static void visit(const struct xlate *x, const struct step *s, enum entry_class class)
{
	const struct paging *p = &x->cpu->guest;
	const bool leaf = class == ENTRY_LEAF;
	const struct model_entry entry = {
		.at.v = x->trail[s->level].s2.hpa,
		.gpa.v = x->trail[s->level].gpa,
		.size = p->entry_size,
		.level = (uint8_t)s->level,
		.valid = class >= ENTRY_LEAF,
		.leaf = leaf,
		.may_set = class < ENTRY_LEAF ? 0
					      : p->level[s->level].accessed |
							(leaf && x->write && !x->ss ? p->dirty : 0),
	};

	x->visitor->entry(x->visitor->context, &entry);
}

/* The entry of s->level is at trail[s->level].s2.hpa: read it and go on. */
static void guest_entry(struct xlate *x, const struct step *s)
{
	struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->guest;
	const struct paging_level *l = &p->level[s->level];
	struct trail *t = &x->trail[s->level];
	enum entry_class class;
	uint64_t e;

	t->all = s->all;
	t->upper = s->upper;
	if (x->set && seen_before(x, s, t))
		return;
	e = mem_entry(cpu->mem, &cpu->table_hint, t->s2.hpa, p->entry_size);
	cpu->stats.entries_read++;
	t->value = e;
	class = entry_classify(x, p, s->level, e);
	if (x->visitor)
		visit(x, s, class);
	switch (class) {
	case ENTRY_ABSENT:
	case ENTRY_RESERVED:
		/* Upper tables may be cached though nothing valid lies below (H-105). */
		if (!x->set && cpu->hostile)
			remember_tables(x, s->level);
		if (!x->speculative)
			emit_pf(x,
				rights_pf_code(x) |
					(class == ENTRY_RESERVED ? UMBRA_PF_P | UMBRA_PF_RSVD : 0));
		return;
	case ENTRY_LEAF: guest_leaf(x, s, e); return;
	case ENTRY_TABLE: break;
	}
	if (eager_a(x, s->level) && !set_accessed(x, s->level))
		return;
	e = (e ^ p->inverted) | l->granted;
	guest_step(x, (struct step){.level = s->level - 1,
				    .table = t->value & l->table_mask,
				    .all = s->all & e,
				    .upper = s->upper & e});
}

static void guest_step(struct xlate *x, struct step s)
{
	const struct paging *p = &x->cpu->guest;
	const struct paging_level *l = &p->level[s.level];
	uint64_t gpa = s.table + (x->la >> l->shift & l->index_mask) * p->entry_size;
	struct trail *t = &x->trail[s.level];
	struct s2_ask q = {.gpa = gpa, .use = S2_READ_ENTRY};
	struct s2_answer answers[S2_MAX];
	unsigned n;

	t->gpa = gpa;
	if (x->cpu->state.stage2 == MODEL_NATIVE) { /* nothing to ask; the common case */
		t->s2 = (struct s2){.hpa = gpa, .rights = S2_ALL, .shift = 52, .dirty = true};
		guest_entry(x, &s);
		return;
	}
	if (s.s2) {
		t->s2 = *s.s2;
		t->s2.hpa |= gpa & 0xfff;
		guest_entry(x, &s);
		return;
	}
	n = stage2(x, &q, answers);
	for (unsigned i = 0; i < n && !x->restart; i++) {
		if (answers[i].failed) {
			/* What led here may be cached (H-105), whatever the exit drops. */
			if (!x->set && x->cpu->hostile && s.level < x->trail_top)
				remember_tables(x, s.level + 1);
			emit_s2_failure(x, &answers[i].failure, false);
			continue;
		}
		t->gpa = gpa;
		t->s2 = answers[i].s2;
		guest_entry(x, &s);
	}
}

static void walk_from_root(struct xlate *x)
{
	const struct model_cpu *cpu = x->cpu;
	const struct paging *p = &cpu->guest;
	struct step s = {.level = p->top, .table = p->root, .all = ~0ull, .upper = ~0ull};

	if (p->pdpte_registers) { /* H-21: reserved bits were checked by the load */
		uint64_t pdpte = cpu->state.regs.pdpte[x->la >> 30 & 3];

		if (!(pdpte & PTE_P)) {
			if (!x->speculative)
				emit_pf(x, rights_pf_code(x));
			return;
		}
		s.level = 2;
		s.table = pdpte & p->level[3].table_mask;
	}
	x->trail_top = s.level;
	guest_step(x, s);
}

/* Continue from table fact @f, which is about an entry of @level. */
static void walk_from_fact(struct xlate *x, const struct fact *f, int level)
{
	struct s2 s2 = f->s2;

	x->trail_top = level - 1;
	x->from_cache = true;
	guest_step(x, (struct step){.level = level - 1,
				    .table = f->gpa,
				    .all = f->rights.all,
				    .upper = f->upper,
				    .s2 = &s2});
	/* AMD does not say that a cached entry holds more than the GPA (H-109). */
	if (x->set && x->cpu->state.stage2 == MODEL_NPT)
		guest_step(x, (struct step){.level = level - 1,
					    .table = f->gpa,
					    .all = f->rights.all,
					    .upper = f->upper});
	x->from_cache = false;
}

/* With CR0.PG=0 a linear address is a GPA; it counts as a user-mode one (H-75). */
static void unpaged(struct xlate *x)
{
	static const struct page_rights everything = {
		.all = ~0ull, .upper_w = true, .leaf_w = true, .dirty = true};

	x->trail[0].value = 0;
	final_stage(x, &everything, x->la, 12);
}

/* ---- cached pages ---- */

enum verdict { FACT_SERVES, FACT_DENIES, FACT_EXITS, FACT_CLEAN };

/* What @f does to this access: FACT_CLEAN when a D bit must be set first (H-122). */
static enum verdict judge(struct xlate *x, const struct fact *f, uint64_t *code,
			  struct result *exit)
{
	struct s2_ask q = {.gpa = f->gpa | (x->la & low_bits(f->shift)),
			   .use = S2_FINAL,
			   .guest = f->rights.all};

	*code = x->cpu->guest.top ? rights_denied(x, &f->rights) : 0;
	if (*code)
		return FACT_DENIES;
	if (x->cpu->state.stage2 != MODEL_NATIVE && stage2_refuses(x, &q, &f->s2, exit))
		return FACT_EXITS;
	/* Where D is not set through R/W=0 (H-59, U-3) none is missing. */
	if (x->write && !x->ss && !f->rights.dirty && sets_dirty(x, &f->rights))
		return FACT_CLEAN;
	return x->write && !f->s2.dirty ? FACT_CLEAN : FACT_SERVES;
}

static void emit_fact(struct xlate *x, const struct fact *f)
{
	uint64_t offset = x->la & low_bits(f->shift);

	emit_done(x, f->gpa | offset, f->s2.hpa | offset);
}

/* With effects: the oldest fact that has a say. True if it settled the access. */
static bool use_oldest_page(struct xlate *x)
{
	struct model_cpu *cpu = x->cpu;
	struct cache *c = &cpu->cache[FACT_PAGE];
	const struct fact *best = NULL;
	enum verdict verdict = FACT_CLEAN;
	struct result exit;
	uint64_t code = 0;

	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		for (struct fact *f = cache_first(c, x->la, page_shifts[i]); f;
		     f = cache_next(c, f)) {
			enum verdict v;
			struct result e;
			uint64_t k;

			if (!fact_usable(f, &cpu->tags))
				continue;
			if (best && best->age < f->age)
				break;
			v = judge(x, f, &k, &e);
			if (v == FACT_CLEAN)
				continue;
			best = f;
			verdict = v;
			code = k;
			if (v == FACT_EXITS)
				exit = e;
			break;
		}
	}
	if (!best)
		return false;
	cpu->stats.hits++;
	if (verdict == FACT_SERVES) {
		emit_fact(x, best);
		if (best->shift > 12)
			remember_fragment(x, *best);
	} else if (verdict == FACT_DENIES) {
		x->from_cache = true;
		emit_pf(x, code);
		x->from_cache = false;
	} else {
		emit_s2_failure(x, &exit, true);
	}
	return true;
}

/* The guest's part of @f with the second stage as it is now: what a CPU does whose
 * copy of @f had no D of the second stage, or that keeps the two apart (H-109). */
static void look_up_again(struct xlate *x, const struct fact *f)
{
	if (x->cpu->state.stage2 != MODEL_NATIVE)
		final_stage(x, &f->rights, f->gpa | (x->la & low_bits(f->shift)), 12);
}

/* Without effects: what every usable fact says. */
static void explore_pages(struct xlate *x)
{
	struct model_cpu *cpu = x->cpu;
	struct cache *c = &cpu->cache[FACT_PAGE];

	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		for (struct fact *f = cache_first(c, x->la, page_shifts[i]); f;
		     f = cache_next(c, f)) {
			struct result exit;
			uint64_t code;

			if (!fact_usable(f, &cpu->tags))
				continue;
			switch (judge(x, f, &code, &exit)) {
			case FACT_SERVES:
				emit_fact(x, f);
				look_up_again(x, f);
				break;
			case FACT_DENIES:
				x->from_cache = true;
				emit_pf(x, code);
				x->from_cache = false;
				break;
			case FACT_EXITS:
				emit_s2_failure(x, &exit, true);
				look_up_again(x, f);
				break;
			case FACT_CLEAN:
				/* U-16: D may land in a changed present entry while the
				 * write still goes to the old frame (H-122 b). */
				if (!f->rights.dirty && !x->leaf_seen && !x->ss)
					break;
				if (!x->write || f->s2.dirty)
					emit_fact(x, f);
				look_up_again(x, f);
				break;
			}
		}
	}
}

/* ---- running it ---- */

void translate_start(struct xlate *x, struct model_cpu *cpu, uint64_t la, unsigned access)
{
	x->cpu = cpu;
	x->la = la;
	x->access = access;
	x->user = access & UMBRA_ACCESS_USER && !(access & UMBRA_ACCESS_IMPLICIT);
	x->write = access & UMBRA_ACCESS_WRITE;
	x->fetch = access & UMBRA_ACCESS_FETCH;
	x->ss = access & UMBRA_ACCESS_SHSTK;
	x->set = NULL;
	x->unsure = x->asked = 0;
	x->use_linear = cpu->hostile;
	x->from_cache = x->speculative = x->restart = x->leaf_seen = x->pml_close = false;
	x->visitor = NULL;
	x->seen_count = 0;
	x->leaf_shift = 0;
	x->trail_top = 0;
}

static void run_once(struct xlate *x)
{
	struct model_cpu *cpu = x->cpu;

	if (x->use_linear && use_oldest_page(x))
		return;
	cpu->stats.walks++;
	if (!cpu->guest.top) {
		unpaged(x);
		return;
	}
	if (x->use_linear) {
		for (int level = 2; level <= cpu->guest.top; level++) {
			struct fact *f = cache_first(&cpu->cache[FACT_TABLE], x->la,
						     cpu->guest.level[level].shift);

			while (f && !fact_usable(f, &cpu->tags))
				f = cache_next(&cpu->cache[FACT_TABLE], f);
			if (f) {
				walk_from_fact(x, f, level);
				return;
			}
		}
	}
	walk_from_root(x);
}

static void run(struct xlate *x)
{
	do {
		x->restart = false;
		run_once(x);
	} while (x->restart);
}

/*
 * H-61, H-110: walk ahead. The next page, and a random one that shares all but
 * one of the tables; both as the tables are now, for supervisor reads.
 */
static void speculate(struct model_cpu *cpu, uint64_t la)
{
	uint64_t where[2] = {la + 0x1000, la};
	unsigned width = cpu->linear_bits ? cpu->linear_bits : 32;

	cpu->random = cpu->random * 6364136223846793005ull + 1442695040888963407ull;
	where[1] ^= (cpu->random >> 40 & 0x1ff) << (12 + 9 * (cpu->random >> 60 & 1));
	for (unsigned i = 0; i < 2; i++) {
		struct xlate x;

		if (where[i] >> (width - 1) != la >> (width - 1))
			continue;
		translate_start(&x, cpu, where[i] & ~0xfffull, 0);
		x.speculative = true;
		run_once(&x);
	}
}

void translate(struct model_cpu *cpu, uint64_t la, unsigned access, struct result *result)
{
	struct xlate x;

	translate_start(&x, cpu, la, access);
	run(&x);
	*result = x.result;
	if (cpu->hostile && cpu->config.choices & MODEL_SPECULATE)
		speculate(cpu, la);
}

static void explore(struct xlate *x)
{
	struct model_cpu *cpu = x->cpu;

	if (!cpu->guest.top) {
		unpaged(x);
	} else {
		walk_from_root(x);
		for (int level = 2; cpu->hostile && level <= cpu->guest.top; level++) {
			struct cache *c = &cpu->cache[FACT_TABLE];

			for (struct fact *f = cache_first(c, x->la, cpu->guest.level[level].shift);
			     f; f = cache_next(c, f))
				if (fact_usable(f, &cpu->tags))
					walk_from_fact(x, f, level);
		}
	}
	if (cpu->hostile)
		explore_pages(x);
}

/* Explore with every subset of unsure points: each that was met joins those taken. */
static void explore_readings(struct model_cpu *cpu, uint64_t la, unsigned access,
			     struct result_set *set, const struct model_visitor *visitor)
{
	unsigned todo[64], count = 1;
	struct xlate x;

	todo[0] = 0;
	set->count = 0;
	for (unsigned i = 0; i < count; i++) {
		translate_start(&x, cpu, la, access);
		x.set = set;
		x.unsure = todo[i];
		x.visitor = visitor;
		explore(&x);
		for (unsigned bit = 1; bit <= UNSURE_LAST; bit <<= 1) {
			unsigned next = todo[i] | bit, j = 0;

			if (!(x.asked & bit) || next == todo[i])
				continue;
			while (j < count && todo[j] != next)
				j++;
			if (j == count && count < sizeof(todo) / sizeof(todo[0]))
				todo[count++] = next;
		}
	}
}

void translate_all(struct model_cpu *cpu, uint64_t la, unsigned access, struct result_set *set)
{
	explore_readings(cpu, la, access, set, NULL);
}

/* A cached page may have led to the second stage before it turned out not to serve, and a
 * walk then went another way (U-5, U-16). */
static void visit_pages(struct model_cpu *cpu, uint64_t la, unsigned access,
			const struct model_visitor *visitor)
{
	struct cache *c = &cpu->cache[FACT_PAGE];
	struct s2_found found[S2_MAX];
	struct xlate x;

	translate_start(&x, cpu, la, access);
	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		for (struct fact *f = cache_first(c, la, page_shifts[i]); f; f = cache_next(c, f)) {
			const struct s2_ask q = {.gpa = f->gpa | (la & low_bits(f->shift)),
						 .use = S2_FINAL,
						 .guest = f->rights.all};

			if (fact_usable(f, &cpu->tags))
				stage2_gather(&x, &q, false, visitor, found);
		}
	}
}

void translate_visit(struct model_cpu *cpu, uint64_t la, unsigned access,
		     const struct model_visitor *visitor)
{
	struct model_stats stats = cpu->stats;
	struct result_set set;

	explore_readings(cpu, la, access, &set, visitor);
	if (cpu->state.stage2 != MODEL_NATIVE)
		visit_pages(cpu, la, access, visitor);
	cpu->stats = stats;
}

bool translate_held(struct model_cpu *cpu, uint64_t la, unsigned access,
		    const struct model_piece *piece)
{
	struct cache *c = &cpu->cache[FACT_PAGE];
	struct xlate x;

	translate_start(&x, cpu, la, access);
	for (unsigned i = 0; i < sizeof(page_shifts); i++) {
		for (struct fact *f = cache_first(c, la, page_shifts[i]); f; f = cache_next(c, f)) {
			const uint64_t offset = la & low_bits(f->shift);
			struct result exit;
			uint64_t code;

			if (!fact_usable(f, &cpu->tags))
				continue;
			if (piece->gpa.v != MODEL_GPA_ANY && (f->gpa | offset) != piece->gpa.v)
				continue;
			if (cpu->state.stage2 != MODEL_NATIVE &&
			    (f->s2.hpa | offset) != piece->hpa.v)
				continue;
			if (judge(&x, f, &code, &exit) == FACT_SERVES)
				return true;
		}
	}
	return false;
}

unsigned translate_leaf_shift(struct model_cpu *cpu, uint64_t la)
{
	const struct paging *p = &cpu->guest;
	struct result_set set = {0};
	struct xlate x;

	if (!p->top)
		return 12;
	translate_start(&x, cpu, la, 0);
	x.set = &set;
	walk_from_root(&x);
	for (unsigned i = 0; i < set.count; i++)
		if (set.r[i].event.kind != UMBRA_EVENT_NONE &&
		    set.r[i].event.kind != UMBRA_EVENT_PF)
			return TRANSLATE_HIDDEN;
	return x.leaf_shift;
}
