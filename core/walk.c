/* SPDX-License-Identifier: MIT */
/*
 * walk.c - the walker: one loop for every format, a chain of spaces by recursion.
 *
 *	walk -> lean_*    success with nothing to set: entry by entry, no calls
 *	     -> full      anything: down()      entry by entry to the leaf
 *	                            permitted() rights, keys, shadow stacks
 *	                            mark()      A/D bits
 *	                            finish()    the parent's part of the result
 *	                            stopped()   what hardware would report
 *
 * full() is the walker. It takes every format from its description and looks at
 * one thing after the other. lean() is the same walk for the usual case: a
 * template whose shape (entry size, how an entry is judged, which parent) is
 * constant in each instance; it judges an entry by one test and gives up on
 * whatever it does not like: a fault, an A/D bit to set, memory outside the
 * window. Then full() starts from the beginning and finds out what it is. Parents
 * are walked the same way: quick(), and through() when it gives up.
 *
 * What a lean walk waits for is one entry after the other: load, mask, add the slot
 * (made before), load. All else is beside that, and is kept short: processors run
 * out of instructions a cycle before they run out of time between two loads.
 *
 * Invariants:
 *  - memory changes only by compare-exchange of A/D bits, from the top down, after
 *    every check of this space has passed (G-35) and before the result goes
 *    through the parent (H-94; U-5 allows it); a lost race starts all over;
 *  - entries are read in one piece;
 *  - rights accumulate raw, at the places that struct format gives: the ACC_*
 *    values are made once, at the end.
 */
#include "core/perm.h"
#include "core/walk.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define COLD static __attribute__((noinline, cold))

#define TRIES 8
#define PML_ENTRIES 512 /* SDM 3C 29.3.6 */

/* What try() says besides enum walk_end: an A/D update lost a race. */
#define WALK_RESTART (WALK_LOG_FULL + 1)

/* How the space being walked is used by the one that started the chain. */
enum stage_kind {
	STAGE_FIRST, /* it started the chain */
	STAGE_TABLE, /* for the address of one of its tables */
	STAGE_FINAL, /* for the address it came to */
};

struct stage {
	enum stage_kind kind;
	/** The linear address and the rights of its translation. */
	bool has_linear;
	uint8_t acc;
	uint64_t linear;
};

static const struct stage stage_first = {.kind = STAGE_FIRST};

/* An address one space further down; page_shift 0: it could not be had. */
struct hop {
	uint64_t address;
	uint64_t page_shift;
};

static unsigned full(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		     struct walk *out, const struct stage *stage);
static struct hop quick_8byte(const struct space *space, uint64_t address,
			      const struct mode_allow *allow);
static struct hop quick_4byte(const struct space *space, uint64_t address,
			      const struct mode_allow *allow);
static struct hop quick_low6(const struct space *space, uint64_t address,
			     const struct mode_allow *allow);

static inline uint64_t rotate_left(uint64_t value, unsigned count)
{
	return value << (count & 63) | value >> (-count & 63);
}

/* ---- memory ---- */

COLD uint8_t *window_move(struct memory *memory, uint64_t address)
{
	if (!memory->find || !memory->find(memory, address))
		return NULL;
	return memory->bytes + (address - memory->base);
}

static uint8_t *window_at(struct memory *memory, uint64_t address)
{
	const uint64_t offset = address - memory->base;

	if (unlikely(offset >= memory->size))
		return window_move(memory, address);
	return memory->bytes + offset;
}

ALWAYS_INLINE uint64_t entry_load(const uint8_t *at, unsigned entry_shift)
{
	if (entry_shift == 3)
		return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
}

/* Replace @old by @new; false if somebody else changed it. */
static bool entry_exchange(uint8_t *at, unsigned entry_shift, uint64_t old, uint64_t new)
{
	uint32_t old32 = (uint32_t)old;

	if (entry_shift == 3)
		return __atomic_compare_exchange_n((uint64_t *)(void *)at, &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)(void *)at, &old32, (uint32_t) new, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* ---- rights and events ---- */

/* The #PF code, as far as an NPF has the same bits (H-55, H-95). */
static uint64_t paging_code(const struct mode *mode, enum walk_end end, unsigned access)
{
	uint64_t code = 0;

	code |= end == WALK_DENIED || end == WALK_RESERVED ? UMBRA_PF_P : 0;
	code |= end == WALK_RESERVED ? UMBRA_PF_RSVD : 0;
	code |= access & UMBRA_ACCESS_WRITE ? UMBRA_PF_W : 0;
	code |= access & UMBRA_ACCESS_USER ? UMBRA_PF_U : 0;
	code |= access & UMBRA_ACCESS_FETCH ? mode->fetch_code : 0;
	code |= access & UMBRA_ACCESS_SHSTK ? UMBRA_PF_SS : 0;
	return code;
}

/* Bits 9-11 of an exit qualification: the rights of the linear address (H-79). */
static uint64_t linear_rights(unsigned acc)
{
	return (acc & ACC_USER ? UMBRA_EPTQ_GUEST_U : 0) |
	       (acc & ACC_WRITE ? UMBRA_EPTQ_GUEST_W : 0) |
	       (acc & ACC_EXEC ? 0 : UMBRA_EPTQ_GUEST_NX);
}

/* The exit qualification of an EPT violation (H-79). */
static uint64_t ept_code(const struct mode *mode, const struct walk *out, unsigned access,
			 const struct stage *stage)
{
	const unsigned acc = out->end == WALK_DENIED ? out->acc : 0;
	const bool read = !(access & (UMBRA_ACCESS_WRITE | UMBRA_ACCESS_FETCH));
	uint64_t code = 0;

	code |= read || stage->kind == STAGE_TABLE ? UMBRA_EPTQ_READ : 0;
	code |= access & UMBRA_ACCESS_WRITE ? UMBRA_EPTQ_WRITE : 0;
	code |= access & UMBRA_ACCESS_FETCH ? UMBRA_EPTQ_FETCH : 0;
	code |= access & UMBRA_ACCESS_SHSTK ? UMBRA_EPTQ_SHSTK : 0;
	code |= acc & ACC_READ ? UMBRA_EPTQ_R : 0;
	code |= acc & ACC_WRITE ? UMBRA_EPTQ_W : 0;
	code |= acc & ACC_EXEC ? UMBRA_EPTQ_X : 0;
	if (mode->flags & MODE_MBEC)
		code |= acc & ACC_USER ? UMBRA_EPTQ_XU : 0;
	if (!stage->has_linear)
		return code;
	code |= UMBRA_EPTQ_GVA;
	if (stage->kind == STAGE_FINAL) {
		code |= UMBRA_EPTQ_FINAL;
		if (mode->flags & MODE_ADVINFO)
			code |= linear_rights(stage->acc);
	}
	return code;
}

/* The walk ends at @out->end: what does the CPU report? */
static unsigned stopped(const struct space *space, uint64_t address, unsigned access,
			struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	struct umbra_event event = {.kind = UMBRA_EVENT_PF};

	out->in_parent = false;
	if (out->end == WALK_LOG_FULL) {
		event.kind = UMBRA_EVENT_PML_FULL;
	} else if (mode->format->family == FORMAT_EPT) {
		event.gpa.v = address;
		if (out->end == WALK_RESERVED) {
			event.kind = UMBRA_EVENT_EPT_MISCONFIG;
		} else {
			event.kind = UMBRA_EVENT_EPT_VIOLATION;
			event.code = ept_code(mode, out, access, stage);
			event.gva.v = stage->linear;
		}
	} else if (stage->kind != STAGE_FIRST || (mode->flags & MODE_NPT)) {
		event.kind = UMBRA_EVENT_NPF;
		event.code = paging_code(mode, out->end, access);
		event.code |= stage->kind == STAGE_TABLE ? UMBRA_NPF_TABLE : UMBRA_NPF_FINAL;
		event.gpa.v = address;
	} else {
		event.code = paging_code(mode, out->end, access);
		event.gva.v = address;
	}
	out->event = event;
	return out->end;
}

/* May the leaf be used so? If not, @out says what happens. */
static bool permitted(const struct space *space, uint64_t address, unsigned access,
		      struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	const struct mode_level *at = &mode->level[out->level];
	const struct perm_page page = {
		.acc = out->acc,
		.acc_upper = out->acc_upper,
		.key = out->key,
		.leaf_write = out->entry[out->level] >> at->rights_shift & mode->write,
		.leaf_dirty = out->dirty,
	};
	const unsigned verdict = perm_check(mode, &page, access, space->pkru, space->pkrs);

	if (verdict == PERM_OK)
		return true;
	out->end = WALK_DENIED;
	stopped(space, address, access, out, stage);
	if (verdict == PERM_DENIED_KEY)
		out->event.code |= UMBRA_PF_PK;
	return false;
}

/* ---- through the parent ---- */

/* How @parent sees an access that has come through @acc. */
static inline unsigned final_access(const struct space *parent, unsigned access, unsigned acc)
{
	const struct mode_stage2 *stage2;

	if (!parent->mode)
		return access;
	stage2 = &parent->mode->stage2;
	return (access & stage2->final_keep) | stage2->final_set |
	       (access & UMBRA_ACCESS_FETCH ? 0 : stage2->final_set_data) |
	       (acc & stage2->final_user_acc ? UMBRA_ACCESS_USER : 0);
}

/*
 * Walk the parent with everything: A/D updates, events. @address is where this
 * space was asked to go, @at where it must look in the parent.
 */
static struct hop through(const struct space *space, uint64_t address, uint64_t at, unsigned access,
			  unsigned flags, struct walk *out, const struct stage *stage,
			  enum stage_kind kind)
{
	const struct mode *mode = space->mode;
	const bool first = stage->kind == STAGE_FIRST;
	struct stage next = *stage;
	struct walk deeper;

	if (first) {
		next.has_linear = !mode || (mode->format->family == FORMAT_PAGING &&
					    !(mode->flags & MODE_NPT));
		next.linear = next.has_linear ? address : 0;
		next.acc = kind == STAGE_FINAL ? out->acc : 0;
	}
	/* A table of a table is a table still. */
	next.kind = stage->kind == STAGE_TABLE ? STAGE_TABLE : kind;

	if (full(space->parent, at, access, flags & ~WALK_NO_FINAL, &deeper, &next) == WALK_OK)
		return (struct hop){deeper.final, deeper.page_shift};
	out->end = deeper.end;
	out->event = deeper.event;
	out->in_parent = true;
	return (struct hop){0, 0};
}

/* Which instance of quick() can walk the parent? */
enum quick_kind { QUICK_NO, QUICK_8BYTE, QUICK_4BYTE, QUICK_LOW6 };

__attribute__((nonnull)) ALWAYS_INLINE enum quick_kind quick_kind(const struct space *parent)
{
	const struct mode *mode = parent->mode;

	if (unlikely(!mode || parent->parent || mode->pk || mode->root_registers ||
		     (mode->flags & MODE_SHSTK)))
		return QUICK_NO;
	switch (mode->shape) {
	case MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6: return QUICK_LOW6;
	case MODE_SHAPE_8BYTE: return QUICK_8BYTE;
	case 0: return QUICK_4BYTE;
	default: return QUICK_NO;
	}
}

/* What quick() must find for @access; nothing for QUICK_NO. */
ALWAYS_INLINE const struct mode_allow *quick_allow(enum quick_kind kind, const struct space *parent,
						   unsigned access)
{
	return kind == QUICK_NO ? NULL : &parent->mode->allow[access & MODE_ALLOW_MASK];
}

/* Translate if nothing is to be set or reported; page_shift 0 otherwise. */
ALWAYS_INLINE struct hop quick(enum quick_kind kind, const struct space *parent, uint64_t address,
			       const struct mode_allow *allow)
{
	switch (kind) {
	case QUICK_LOW6: return quick_low6(parent, address, allow);
	case QUICK_8BYTE: return quick_8byte(parent, address, allow);
	case QUICK_4BYTE: return quick_4byte(parent, address, allow);
	default: return (struct hop){0, 0};
	}
}

/* @at in the parent, as an access to one of this space's tables. page_shift 0: @out
 * says why not. */
static struct hop table_hop(const struct space *space, uint64_t address, uint64_t at,
			    unsigned access, unsigned flags, struct walk *out,
			    const struct stage *stage)
{
	const enum quick_kind kind = quick_kind(space->parent);
	const struct hop hop =
		quick(kind, space->parent, at, quick_allow(kind, space->parent, access));

	if (likely(hop.page_shift))
		return hop;
	return through(space, address, at, access, flags, out, stage, STAGE_TABLE);
}

/* out->address through the parent; false: @out says why not. */
static inline bool finish(const struct space *space, uint64_t address, unsigned access,
			  unsigned flags, struct walk *out, const struct stage *stage)
{
	const uint64_t result = out->address;
	enum quick_kind kind;
	unsigned deeper;
	struct hop hop;

	out->final = result;
	if ((flags & WALK_NO_FINAL) || !space->parent)
		return true;
	deeper = final_access(space->parent, access, out->acc);
	kind = quick_kind(space->parent);
	hop = quick(kind, space->parent, result, quick_allow(kind, space->parent, deeper));
	if (unlikely(!hop.page_shift)) {
		hop = through(space, address, result, deeper, flags, out, stage, STAGE_FINAL);
		if (!hop.page_shift)
			return false;
	}
	out->final = hop.address;
	if (hop.page_shift < out->page_shift)
		out->page_shift = (uint8_t)hop.page_shift;
	return true;
}

/* ---- A/D bits ---- */

/* Shadow-stack CPUs leave D alone where R/W=0, which CR0.WP=0 lets be written (H-59). */
static bool may_dirty(const struct mode *mode, const struct mode_level *leaf,
		      const struct walk *out)
{
	return !(mode->flags & MODE_D_NEEDS_W) ||
	       (out->entry[out->level] >> leaf->rights_shift & mode->write);
}

/* The A/D bits that the entry at @level has to get, 0 if it has them. */
static uint64_t to_mark(const struct mode *mode, const struct walk *out, unsigned level,
			unsigned access)
{
	const struct mode_level *at = &mode->level[level];
	uint64_t want = at->accessed;

	if (level == out->level && (access & UMBRA_ACCESS_WRITE) && may_dirty(mode, at, out))
		want |= at->dirty;
	return want & ~out->entry[level];
}

/* May the entry of @level be written, as far as the parent is concerned (H-74, H-98)? */
static bool may_mark(const struct space *space, uint64_t address, unsigned level, unsigned flags,
		     struct walk *out, const struct stage *stage)
{
	const struct mode *parent = space->parent ? space->parent->mode : NULL;
	struct hop hop;

	/* Reading the entry was a write already. */
	if (!parent || parent->stage2.table_update == parent->stage2.table_read)
		return true;
	hop = table_hop(space, address, out->entry_address[level], parent->stage2.table_update,
			flags, out, stage);
	if (hop.page_shift)
		out->entry_final[level] = hop.address;
	return hop.page_shift;
}

/*
 * Set A/D bits from the top down (G-35). In memory that may not be written they
 * are left as they are (G-36).
 */
static unsigned mark(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		     struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	const uint64_t dirty = mode->level[out->level].dirty;

	for (unsigned level = mode->top; level >= out->level; level--) {
		const struct mode_level *at_level = &mode->level[level];
		const uint64_t bits = to_mark(mode, out, level, access);
		uint8_t *at;

		if (!bits)
			continue;
		if (unlikely(space->log) && space->log->index >= PML_ENTRIES) {
			out->end = WALK_LOG_FULL;
			return stopped(space, address, access, out, stage);
		}
		if (!may_mark(space, address, level, flags, out, stage))
			return out->end;
		at = window_at(space->memory, out->entry_final[level]);
		if (!at) {
			out->end = WALK_ABSENT;
			return stopped(space, address, access, out, stage);
		}
		if (!space->memory->writable)
			continue;
		if (!entry_exchange(at, mode->entry_shift, out->entry[level],
				    out->entry[level] | bits))
			return WALK_RESTART;
		out->entry[level] |= bits;
		if (space->memory->marked)
			space->memory->marked(space->memory, out->entry_final[level], mode->format);
		if (unlikely(space->log) && bits & at_level->dirty)
			space->log->dirtied(space->log, address);
	}
	out->dirty = (out->entry[out->level] & dirty) == dirty;
	return WALK_OK;
}

/* ---- the walker ---- */

enum entry_kind { ENTRY_ABSENT, ENTRY_BAD, ENTRY_TABLE, ENTRY_LEAF };

static uint64_t low6_of(const struct mode *mode, uint64_t entry)
{
	return (entry & 63) | (entry >> 8 & mode->bad_fold);
}

/* H-32, H-76: presence first, then what is reserved or illegal. */
static enum entry_kind entry_kind(const struct mode *mode, unsigned level, uint64_t entry)
{
	const struct mode_level *at = &mode->level[level];
	const bool leaf = level == 1 || (entry & at->large);

	if (!(entry & at->present))
		return ENTRY_ABSENT;
	if ((mode->bad_low6 >> low6_of(mode, entry) & 1) || (entry & at->rsvd[leaf]))
		return ENTRY_BAD;
	return leaf ? ENTRY_LEAF : ENTRY_TABLE;
}

/* The entry of @level in @table, into @out; false: out->end says why not. */
static bool fetch(const struct space *space, uint64_t address, unsigned flags, uint64_t table,
		  struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	const struct mode_level *at = &mode->level[out->level];
	const unsigned slot = (unsigned)(address >> at->slot_shift) & at->slot_mask;
	const bool registers = mode->root_registers && out->level == mode->top;
	uint64_t where = registers ? 0 : table + slot;
	const uint8_t *bytes;

	out->entry_address[out->level] = out->entry_final[out->level] = where;
	if (registers) {
		out->entry[out->level] = space->pdpte[slot >> mode->entry_shift];
		return true;
	}
	if (space->parent) {
		const struct mode *deeper = space->parent->mode;
		const struct hop hop =
			table_hop(space, address, where, deeper ? deeper->stage2.table_read : 0,
				  flags, out, stage);

		if (!hop.page_shift)
			return false;
		out->entry_final[out->level] = where = hop.address;
	}
	bytes = window_at(space->memory, where);
	if (!bytes) {
		out->end = WALK_ABSENT;
		return false;
	}
	out->entry[out->level] = entry_load(bytes, mode->entry_shift);
	return true;
}

/* Go down to the leaf, or to the entry that stops the walk. */
static void down(const struct space *space, uint64_t address, unsigned flags, struct walk *out,
		 const struct stage *stage)
{
	const struct mode *mode = space->mode;
	uint64_t table = space->root & mode->root_address;
	uint64_t upper = ~0ull, rights = ~0ull;

	out->end = WALK_OK;
	for (out->level = mode->top;; out->level--) {
		const struct mode_level *at = &mode->level[out->level];
		enum entry_kind kind;
		uint64_t entry;

		if (!fetch(space, address, flags, table, out, stage))
			break;
		entry = out->entry[out->level];
		/* Registers were checked when they were loaded (H-21). */
		kind = entry_kind(mode, out->level, entry);
		if (kind == ENTRY_BAD && mode->root_registers && out->level == mode->top)
			kind = ENTRY_TABLE;
		if (kind == ENTRY_ABSENT || kind == ENTRY_BAD) {
			out->end = kind == ENTRY_BAD ? WALK_RESERVED : WALK_NOT_PRESENT;
			break;
		}
		upper = rights;
		rights &= mode_rights(at, entry);
		if (kind == ENTRY_LEAF) {
			out->key = (uint8_t)(entry >> at->rights_shift >> mode->key_shift) &
				   mode->key_mask;
			out->dirty = (entry & at->dirty) == at->dirty;
			out->address = (entry & at->leaf_address) |
				       (entry & at->high) << at->high_shift |
				       (address & at->offset_mask);
			out->page_shift = at->shift;
			break;
		}
		table = entry & at->table_address;
	}
	/* The entry that stops a walk gives no rights. */
	out->acc_upper = (uint8_t)mode_acc(mode, out->end == WALK_OK ? upper : rights);
	out->acc = (uint8_t)mode_acc(mode, rights);
}

/* One try: without WALK_OK @out says why; WALK_RESTART: an A/D update lost a race. */
static unsigned try(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		    struct walk *out, const struct stage *stage)
{
	out->in_parent = false;
	down(space, address, flags, out, stage);
	if (out->end != WALK_OK)
		return out->in_parent ? out->end : stopped(space, address, access, out, stage);
	out->event.kind = UMBRA_EVENT_NONE;
	if (!(flags & WALK_NO_RIGHTS) && !permitted(space, address, access, out, stage))
		return out->end;
	if (!(flags & (WALK_NO_RIGHTS | WALK_NO_AD))) {
		const unsigned end = mark(space, address, access, flags, out, stage);

		if (end != WALK_OK)
			return end;
	}
	return finish(space, address, access, flags, out, stage) ? WALK_OK : out->end;
}

/* No paging: everything is allowed and stays where it is. */
static void no_paging(uint64_t address, struct walk *out)
{
	out->end = WALK_OK;
	out->level = 0;
	out->acc = out->acc_upper = ACC_ALL;
	out->key = 0;
	out->dirty = true;
	out->in_parent = false;
	out->event.kind = UMBRA_EVENT_NONE;
	out->address = address;
	out->page_shift = 64;
}

/* A second stage has no entry for so high an address (H-84, H-101). */
static unsigned too_high(const struct space *space, uint64_t address, unsigned access,
			 struct walk *out, const struct stage *stage)
{
	out->end = WALK_NOT_PRESENT;
	out->level = space->mode->top;
	out->acc = out->acc_upper = ACC_ALL;
	return stopped(space, address, access, out, stage);
}

NOINLINE unsigned full(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		       struct walk *out, const struct stage *stage)
{
	out->restarts = 0;
	if (!space->mode) {
		no_paging(address, out);
		return finish(space, address, access, flags, out, stage) ? WALK_OK : out->end;
	}
	if (address & space->mode->beyond)
		return too_high(space, address, access, out, stage);
	for (;;) {
		const unsigned end = try(space, address, access, flags, out, stage);

		if (end != WALK_RESTART)
			return end;
		if (++out->restarts == TRIES) {
			out->end = WALK_NOT_PRESENT;
			return stopped(space, address, access, out, stage);
		}
	}
}

/* ---- the usual case ---- */

#define SHAPE_PARENT(kind) ((unsigned)(kind) << 4) /* tables lie in one (enum quick_kind) */
#define SHAPE_RECORD (1u << 6) /* entries are recorded; the root may be in registers */

ALWAYS_INLINE enum quick_kind parent_kind(unsigned shape)
{
	return (enum quick_kind)(shape >> 4 & 3);
}

_Static_assert(UMBRA_LEVEL_MAX == 5, "lean() has a case for each level");

/* Where lean() came to. */
struct leaf {
	const struct mode_level *at;
	size_t level;
	uint64_t entry, address;
	/** Raw rights, with and without the leaf's own; what the mode grants may lack. */
	uint64_t rights, upper;
};

/* What lean() needs at every level. */
struct way {
	struct walk *out; /* with SHAPE_RECORD */
	const struct space *parent; /* with SHAPE_PARENT */
	const struct mode_allow *table_allow;
	/** The window. */
	uint64_t base, size;
	const uint8_t *bytes;
	/** Added to the slot: without a parent what counts is where the entry is in the
	 * window, and the base is better taken off before the table is known. */
	uint64_t bias;
};

ALWAYS_INLINE struct way way_of(const struct space *space, struct walk *out, const unsigned shape)
{
	const struct memory *const memory = space->memory;
	const struct space *const parent = space->parent;
	const enum quick_kind kind = parent_kind(shape);
	struct way way = {
		.out = out, .base = memory->base, .size = memory->size, .bytes = memory->bytes};

	way.bias = kind != QUICK_NO ? 0 : -way.base;
	if (kind != QUICK_NO) {
		way.parent = parent;
		way.table_allow = quick_allow(kind, parent, parent->mode->stage2.table_read);
	}
	return way;
}

/* Where lean() is. */
struct place {
	size_t level;
	uint64_t table, entry;
	/** The address, turned so that its index at this level is in slot_mask; the slot,
	 * with the bias. */
	uint64_t turned, slot;
	/** Raw rights of the tables' entries. */
	uint64_t rights;
};

/* The entry; false: it is not to be had so easily. */
ALWAYS_INLINE bool lean_fetch(const struct way *way, size_t level, const unsigned shape,
			      struct place *place)
{
	const enum quick_kind kind = parent_kind(shape);
	uint64_t at = place->slot + place->table;

	if (shape & SHAPE_RECORD)
		way->out->entry_address[level] = kind != QUICK_NO ? at : at + way->base;
	if (kind != QUICK_NO) {
		const struct hop hop = quick(kind, way->parent, at, way->table_allow);

		if (unlikely(!hop.page_shift))
			return false;
		at = hop.address - way->base;
	}
	if (shape & SHAPE_RECORD)
		way->out->entry_final[level] = at + way->base;
	if (unlikely(at >= way->size))
		return false;
	place->entry = entry_load(way->bytes + at, shape & MODE_SHAPE_8BYTE ? 3 : 2);
	if (shape & SHAPE_RECORD)
		way->out->entry[level] = place->entry;
	return true;
}

/* The root is in registers; false: not present. */
ALWAYS_INLINE bool lean_registers(const struct space *space, uint64_t address, struct walk *out,
				  struct place *place)
{
	const struct mode_level *at = &space->mode->level[place->level];
	const uint64_t slot = address >> at->slot_shift & at->slot_mask;
	const uint64_t entry = space->pdpte[slot >> space->mode->entry_shift];

	out->entry[place->level] = entry;
	out->entry_address[place->level] = out->entry_final[place->level] = 0;
	place->table = entry & at->table_address;
	place->level--;
	return entry & at->present;
}

enum lean_step { LEAN_TABLE, LEAN_LEAF, LEAN_STOP };

/* The entry of @level, and on to the table that it references. */
ALWAYS_INLINE enum lean_step lean_step(const struct mode *mode, const struct way *way, size_t level,
				       const unsigned shape, struct place *place)
{
	const uint64_t flip = shape & MODE_SHAPE_LOW6 ? 0 : mode->flip;

	place->level = level;
	if (unlikely(!lean_fetch(way, level, shape, place)))
		return LEAN_STOP;
	if (level == 1 || unlikely(place->entry & mode->table_stop[level]))
		return LEAN_LEAF;
	place->rights &= place->entry ^ flip;
	place->table = place->entry & mode->table_address[level];
	place->turned = rotate_left(place->turned, mode->slot_bits);
	place->slot = way->bias + (place->turned & mode->slot_mask);
	return LEAN_TABLE;
}

/*
 * Go down to the leaf; false: something is in the way. Everything that depends on
 * @shape is decided at compile time. Whether the entries were present shows in the
 * rights, at the end: what is not present leads to a table that is none, and reading
 * there does no harm.
 */
ALWAYS_INLINE bool lean(const struct space *space, uint64_t address, const unsigned shape,
			struct walk *out, struct leaf *leaf)
{
	const struct mode *const mode = space->mode;
	const bool low6 = shape & MODE_SHAPE_LOW6;
	const struct way way = way_of(space, out, shape);
	struct place place = {.level = mode->top, .rights = ~0ull};
	enum lean_step step = LEAN_STOP;
	const struct mode_level *at;
	uint64_t entry;

	place.table = space->root & mode->root_address;
	place.turned = rotate_left(address, mode->slot_first);
	place.slot = way.bias + (place.turned & mode->slot_mask);
	if (unlikely(address & mode->beyond))
		return false;
	if (shape & SHAPE_RECORD && unlikely(mode->root_registers) &&
	    unlikely(!lean_registers(space, address, out, &place)))
		return false;
	/* A loop, but one whose turns nobody has to predict. */
	switch (place.level) {
	case 5:
		step = lean_step(mode, &way, 5, shape, &place);
		if (step != LEAN_TABLE)
			break;
		/* fall through */
	case 4:
		step = lean_step(mode, &way, 4, shape, &place);
		if (step != LEAN_TABLE)
			break;
		/* fall through */
	case 3:
		step = lean_step(mode, &way, 3, shape, &place);
		if (step != LEAN_TABLE)
			break;
		/* fall through */
	case 2:
		step = lean_step(mode, &way, 2, shape, &place);
		if (step != LEAN_TABLE)
			break;
		/* fall through */
	case 1: step = lean_step(mode, &way, 1, shape, &place); break;
	}
	if (unlikely(step == LEAN_STOP))
		return false;
	at = &mode->level[place.level];
	entry = place.entry;
	if (unlikely((entry & at->leaf_mask) != at->leaf_want))
		return false;
	if (low6 && (unlikely(!(mode->good_low6 >> low6_of(mode, entry) & 1)) ||
		     unlikely(mode->present & ~place.rights)))
		return false;
	leaf->at = at;
	leaf->level = place.level;
	leaf->entry = entry;
	leaf->upper = place.rights;
	leaf->rights = place.rights & (low6 ? entry : entry ^ mode->flip);
	leaf->address = (entry & at->leaf_address) | (address & at->offset_mask);
	if (!(shape & MODE_SHAPE_8BYTE))
		leaf->address |= (entry & at->high) << at->high_shift;
	return true;
}

/* All entries were present, the access is allowed, and no A/D bit has to be set. */
ALWAYS_INLINE bool lean_enough(const struct leaf *leaf, const struct mode_allow *allow)
{
	return likely((leaf->rights & allow->care) == allow->want) &&
	       likely(!(~leaf->entry & allow->dirty));
}

ALWAYS_INLINE struct hop quick_shape(const struct space *space, uint64_t address,
				     const struct mode_allow *allow, const unsigned shape)
{
	struct leaf leaf;

	if (unlikely(!lean(space, address, shape, NULL, &leaf)) ||
	    unlikely(!lean_enough(&leaf, allow)))
		return (struct hop){0, 0};
	return (struct hop){leaf.address, leaf.at->shift};
}

NOINLINE struct hop quick_low6(const struct space *space, uint64_t address,
			       const struct mode_allow *allow)
{
	return quick_shape(space, address, allow, MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6);
}

NOINLINE struct hop quick_8byte(const struct space *space, uint64_t address,
				const struct mode_allow *allow)
{
	return quick_shape(space, address, allow, MODE_SHAPE_8BYTE);
}

NOINLINE struct hop quick_4byte(const struct space *space, uint64_t address,
				const struct mode_allow *allow)
{
	return quick_shape(space, address, allow, 0);
}

/* ACC_*, with the bits where the formats of paging have them. */
ALWAYS_INLINE uint8_t lean_acc(const struct mode *mode, uint64_t rights, const unsigned shape)
{
	if (shape & MODE_SHAPE_LOW6)
		return (uint8_t)mode_acc(mode, rights) | mode->acc_granted;
	return (uint8_t)((rights & (ACC_READ | ACC_WRITE | ACC_USER)) | (rights >> 60 & ACC_EXEC) |
			 mode->acc_granted);
}

/* The whole walk, by full() if it is not the usual case. */
ALWAYS_INLINE unsigned walk_shape(const struct space *space, uint64_t address, unsigned access,
				  unsigned flags, struct walk *out, const unsigned shape)
{
	const struct mode *mode = space->mode;
	const enum quick_kind kind = parent_kind(shape);
	struct leaf leaf;

	/* Shadow-stack accesses are none of mode->allow. */
	if (unlikely(access > MODE_ALLOW_MASK) ||
	    unlikely(!lean(space, address, shape | SHAPE_RECORD, out, &leaf)) ||
	    unlikely(!lean_enough(&leaf, &mode->allow[access])))
		goto full;
	out->key = 0;
	out->in_parent = false;
	out->restarts = 0;
	out->end = WALK_OK;
	out->event.kind = UMBRA_EVENT_NONE;
	if (unlikely(mode->pk)) {
		const unsigned key = (unsigned)(leaf.entry >> mode->key_shift) & mode->key_mask;

		/* A key that denies anything is looked at more closely. */
		if (unlikely((space->pkru | space->pkrs) >> 2 * key & 3))
			goto full;
		out->key = (uint8_t)key;
	}
	out->level = (uint8_t)leaf.level;
	out->acc = lean_acc(mode, leaf.rights, shape);
	out->acc_upper = lean_acc(mode, leaf.upper, shape);
	out->dirty = !(~leaf.entry & leaf.at->dirty);
	out->address = out->final = leaf.address;
	out->page_shift = leaf.at->shift;
	if (kind != QUICK_NO && !(flags & WALK_NO_FINAL)) {
		const unsigned deeper = final_access(space->parent, access, out->acc);
		const struct hop hop = quick(kind, space->parent, leaf.address,
					     quick_allow(kind, space->parent, deeper));

		if (unlikely(!hop.page_shift))
			goto full;
		out->final = hop.address;
		if (hop.page_shift < leaf.at->shift)
			out->page_shift = (uint8_t)hop.page_shift;
	}
	return WALK_OK;
full:
	return full(space, address, access, flags, out, &stage_first);
}

#define WALK_ARGS                                                                     \
	const struct space *space, uint64_t address, unsigned access, unsigned flags, \
		struct walk *out
NOINLINE unsigned lean_8byte(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out, MODE_SHAPE_8BYTE);
}

NOINLINE unsigned lean_low6(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out, MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6);
}

NOINLINE unsigned lean_4byte(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out, 0);
}

NOINLINE unsigned lean_8byte_in_8byte(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out,
			  MODE_SHAPE_8BYTE | SHAPE_PARENT(QUICK_8BYTE));
}

NOINLINE unsigned lean_8byte_in_low6(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out,
			  MODE_SHAPE_8BYTE | SHAPE_PARENT(QUICK_LOW6));
}

NOINLINE unsigned lean_4byte_in_8byte(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out, SHAPE_PARENT(QUICK_8BYTE));
}

NOINLINE unsigned lean_4byte_in_low6(WALK_ARGS)
{
	return walk_shape(space, address, access, flags, out, SHAPE_PARENT(QUICK_LOW6));
}

/* A parent of 4-byte entries is too rare for instances of its own. */
static unsigned walk_nested(WALK_ARGS)
{
	switch (space->mode->shape | SHAPE_PARENT(quick_kind(space->parent))) {
	case MODE_SHAPE_8BYTE | SHAPE_PARENT(QUICK_8BYTE):
		return lean_8byte_in_8byte(space, address, access, flags, out);
	case MODE_SHAPE_8BYTE | SHAPE_PARENT(QUICK_LOW6):
		return lean_8byte_in_low6(space, address, access, flags, out);
	case SHAPE_PARENT(QUICK_8BYTE):
		return lean_4byte_in_8byte(space, address, access, flags, out);
	case SHAPE_PARENT(QUICK_LOW6):
		return lean_4byte_in_low6(space, address, access, flags, out);
	default: return full(space, address, access, flags, out, &stage_first);
	}
}

static unsigned walk_flat(WALK_ARGS)
{
	switch (space->mode->shape) {
	case MODE_SHAPE_8BYTE: return lean_8byte(space, address, access, flags, out);
	case MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6:
		return lean_low6(space, address, access, flags, out);
	case 0: return lean_4byte(space, address, access, flags, out);
	default: return full(space, address, access, flags, out, &stage_first);
	}
}

enum walk_end walk(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		   struct walk *out)
{
	if (unlikely(!space->mode))
		return (enum walk_end)full(space, address, access, flags, out, &stage_first);
	if (space->parent)
		return (enum walk_end)walk_nested(space, address, access, flags, out);
	return (enum walk_end)walk_flat(space, address, access, flags, out);
}
