/* SPDX-License-Identifier: MIT */
/*
 * walk.c - the walker: one loop for every format, a chain of spaces by recursion.
 *
 *	walk -> attempt -> descend            entry by entry to the leaf
 *	                   permitted          rights, keys, shadow stacks
 *	                   finish             the parent's part of the result
 *	                   finish_marking     ... when A/D bits have to be set
 *	        stopped                       the event that hardware would report
 *
 * descend() is a template: entry size, the low-six test and "has a parent" are
 * constants in each instance, so that the loop holds nothing that a format does
 * not need. A parent is walked by quick(), which records nothing and gives up on
 * anything but success; then the full attempt is made on it, which sets A/D bits
 * and builds events. What is cold is out of line.
 *
 * Invariants:
 *  - memory changes only by compare-exchange of A/D bits, after every check of
 *    this space has passed (G-35) and before the result goes through the parent
 *    (H-94; U-5 allows it); a lost race starts all over;
 *  - entries are read once, in one piece;
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

/* With flag WALK_ONCE, attempt() says WALK_RESTART when an A/D update lost a race. */
#define WALK_RESTART (WALK_ABSENT + 1)
#define WALK_ONCE (1u << 31)

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

/* Where descend() came to. */
struct descent {
	enum walk_end end;
	bool in_parent;
	size_t level;
	const struct mode_level *at;
	uint64_t entry;
	/** Raw rights, with and without the last entry. */
	uint64_t rights, upper;
};

/* An address one space further down; page_shift 0: it could not be had. */
struct hop {
	uint64_t address;
	uint64_t page_shift;
};

static unsigned attempt(const struct space *space, uint64_t address, unsigned access,
			unsigned flags, struct walk *out, const struct stage *stage);

/* ---- memory ---- */

COLD uint8_t *window_move(struct memory *memory, uint64_t address)
{
	if (!memory->find || !memory->find(memory, address))
		return NULL;
	return memory->bytes + (address - memory->base);
}

ALWAYS_INLINE uint8_t *window_at(struct memory *memory, uint64_t address)
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

ALWAYS_INLINE uint8_t acc_of(const struct mode *mode, uint64_t rights)
{
	return (uint8_t)(mode->acc_always | (rights & mode->read ? ACC_READ : 0) |
			 (rights & mode->write ? ACC_WRITE : 0) |
			 (rights & mode->user ? ACC_USER : 0) |
			 (rights & mode->exec ? ACC_EXEC : 0));
}

ALWAYS_INLINE uint8_t key_of(const struct mode *mode, const struct descent *d, unsigned shape)
{
	const uint64_t entry = shape & MODE_SHAPE_ODD ? d->entry >> d->at->rights_shift : d->entry;

	return (uint8_t)(entry >> mode->key_shift) & mode->key_mask;
}

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
COLD unsigned stopped(const struct space *space, uint64_t address, unsigned access,
		      struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	struct umbra_event event = {.kind = UMBRA_EVENT_PF};

	out->in_parent = false;
	if (mode->format->family == FORMAT_EPT) {
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

/* Rights deny, or a key did. */
COLD unsigned denied(const struct space *space, uint64_t address, unsigned access, struct walk *out,
		     const struct stage *stage)
{
	const struct mode *mode = space->mode;
	const unsigned level = out->level;
	const struct mode_level *at = &mode->level[level];
	const struct perm_page page = {
		.acc = out->acc,
		.acc_upper = out->acc_upper,
		.key = out->key,
		.leaf_write = out->entry[level] >> at->rights_shift & mode->write,
		.leaf_dirty = out->dirty,
	};

	out->end = WALK_DENIED;
	stopped(space, address, access, out, stage);
	if (perm_check(mode, &page, access, space->pkru, space->pkrs) == PERM_DENIED_KEY)
		out->event.code |= UMBRA_PF_PK;
	return WALK_DENIED;
}

/* ---- through the parent ---- */

/* How @parent sees an access that has come through @acc. */
ALWAYS_INLINE unsigned final_access(const struct space *parent, unsigned access, unsigned acc)
{
	const struct mode_stage2 *stage2;

	if (!parent->mode)
		return access;
	stage2 = &parent->mode->stage2;
	return (access & stage2->final_keep) | stage2->final_set |
	       (acc & stage2->final_user_acc ? UMBRA_ACCESS_USER : 0);
}

/*
 * Walk the parent with everything: A/D updates, events. @address is where this
 * space was asked to go, @at where it must look in the parent.
 */
COLD struct hop through(const struct space *space, uint64_t address, uint64_t at, unsigned access,
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

	deeper.restarts = 0;
	if (attempt(space->parent, at, access, flags & ~(WALK_NO_FINAL | WALK_ONCE), &deeper,
		    &next) == WALK_OK)
		return (struct hop){deeper.final, deeper.page_shift};
	out->end = deeper.end;
	out->event = deeper.event;
	out->in_parent = true;
	return (struct hop){0, 0};
}

/* ---- the loop ---- */

/* Constants of an instance. */
#define SHAPE_NESTED (1u << 6) /* addresses go through a parent */
#define SHAPE_RECORD (1u << 7) /* entries are recorded */

/* Can quick() do it, and with which instance? */
enum quick_kind { QUICK_NO, QUICK_8BYTE, QUICK_LOW6, QUICK_OTHER };

ALWAYS_INLINE enum quick_kind quick_kind(const struct space *space)
{
	const struct mode *mode = space->mode;

	if (unlikely(!mode || space->parent || mode->pk || (mode->flags & MODE_SHSTK)))
		return QUICK_NO;
	if (likely(mode->shape == (MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6)))
		return QUICK_LOW6;
	return mode->shape == MODE_SHAPE_8BYTE ? QUICK_8BYTE : QUICK_OTHER;
}

static struct hop quick_8byte(const struct space *space, uint64_t address, unsigned access);
static struct hop quick_low6(const struct space *space, uint64_t address, unsigned access);
static struct hop quick_other(const struct space *space, uint64_t address, unsigned access);

/*
 * Translate if nothing is to be set or reported; page_shift 0 otherwise, and
 * through() finds out why.
 */
ALWAYS_INLINE struct hop quick(enum quick_kind kind, const struct space *space, uint64_t address,
			       unsigned access)
{
	switch (kind) {
	case QUICK_LOW6: return quick_low6(space, address, access);
	case QUICK_8BYTE: return quick_8byte(space, address, access);
	case QUICK_OTHER: return quick_other(space, address, access);
	default: return (struct hop){0, 0};
	}
}

ALWAYS_INLINE uint64_t low6_of(const struct mode *mode, uint64_t entry)
{
	return (entry & 63) | (entry >> 8 & mode->bad_fold);
}

/* One entry of any format: what is it? */
enum entry_kind { ENTRY_ABSENT, ENTRY_BAD, ENTRY_TABLE, ENTRY_LEAF };

static __attribute__((noinline)) enum entry_kind entry_kind(const struct mode *mode, size_t level,
							    uint64_t entry)
{
	const struct mode_level *at = &mode->level[level];
	const bool leaf = level == 1 || (entry & at->large);

	if (!(entry & at->present))
		return ENTRY_ABSENT;
	if ((mode->bad_low6 >> low6_of(mode, entry) & 1) || (entry & at->rsvd[leaf]))
		return ENTRY_BAD;
	return leaf ? ENTRY_LEAF : ENTRY_TABLE;
}

/*
 * Go down to the leaf, or to the entry that stops the walk. Everything that
 * depends on @shape is decided at compile time. @out takes the entries.
 */
ALWAYS_INLINE void descend(const struct space *space, uint64_t address, unsigned flags,
			   const unsigned shape, struct walk *out, const struct stage *stage,
			   struct descent *d)
{
	const struct mode *const mode = space->mode;
	const bool record = shape & SHAPE_RECORD, nested = shape & SHAPE_NESTED;
	const unsigned entry_shift = shape & MODE_SHAPE_8BYTE ? 3 : 2;
	struct memory *const memory = space->memory;
	const struct space *const parent = space->parent;
	const enum quick_kind kind = nested ? quick_kind(parent) : QUICK_NO;
	const unsigned table_access = nested && parent->mode ? parent->mode->stage2.table_read : 0;
	const struct mode_level *at = &mode->level[mode->top];
	uint64_t table = space->root & mode->root_address;
	const uint64_t flip = mode->flip;
	uint64_t all = ~0ull, entry;
	uint64_t base = memory->base, size = memory->size;
	uint8_t *bytes = memory->bytes;
	size_t level = mode->top;

	d->in_parent = false;
	if (unlikely(mode->root_registers)) {
		entry = space->pdpte[(address >> at->slot_shift & at->slot_mask) >> entry_shift];
		if (record) {
			out->entry[level] = entry;
			out->entry_address[level] = 0;
			out->entry_final[level] = 0;
		}
		if (unlikely(!(entry & at->present)))
			goto wrong;
		table = entry & at->table_address;
		level--;
		at--;
	}

	for (;;) {
		uint64_t where = table + (address >> at->slot_shift & at->slot_mask);
		uint64_t offset;

		if (record)
			out->entry_address[level] = where;
		if (nested) {
			struct hop hop = quick(kind, parent, where, table_access);

			if (unlikely(!hop.page_shift)) {
				hop = through(space, address, where, table_access, flags, out,
					      stage, STAGE_TABLE);
				if (!hop.page_shift) {
					d->end = out->end;
					d->in_parent = true;
					goto stop;
				}
			}
			where = hop.address;
			base = memory->base;
			size = memory->size;
			bytes = memory->bytes;
		}
		if (record)
			out->entry_final[level] = where;

		offset = where - base;
		if (unlikely(offset >= size)) {
			if (!window_move(memory, where)) {
				d->end = WALK_ABSENT;
				goto stop;
			}
			base = memory->base;
			size = memory->size;
			bytes = memory->bytes;
			offset = where - base;
		}
		entry = entry_load(bytes + offset, entry_shift);
		if (record)
			out->entry[level] = entry;

		if (shape & MODE_SHAPE_ODD) {
			const uint64_t own = ((entry ^ at->flip) | at->grant) >> at->rights_shift;
			const enum entry_kind it = entry_kind(mode, level, entry);

			if (it == ENTRY_LEAF) {
				d->upper = all;
				d->rights = all & own;
				break;
			}
			if (it != ENTRY_TABLE)
				goto wrong;
			all &= own;
		} else {
			if ((entry & at->table_mask) != at->table_want) {
				if ((!(shape & MODE_SHAPE_LOW6) ||
				     (mode->good_low6 >> low6_of(mode, entry) & 1)) &&
				    (entry & at->leaf_mask) == at->leaf_want) {
					d->upper = all | mode->grant;
					d->rights = (all & (entry ^ flip)) | mode->grant;
					break;
				}
				if (!(shape & MODE_SHAPE_LOW6) ||
				    entry_kind(mode, level, entry) != ENTRY_TABLE)
					goto wrong;
			}
			all &= entry ^ flip;
		}
		table = entry & at->table_address;
		level--;
		at--;
	}
	d->end = WALK_OK;
	d->level = level;
	d->at = at;
	d->entry = entry;
	return;

wrong:
	d->end = entry & at->present ? WALK_RESERVED : WALK_NOT_PRESENT;
stop:
	/* The entry that stops a walk gives no rights. */
	d->level = level;
	d->at = at;
	d->entry = 0;
	d->rights = d->upper = shape & MODE_SHAPE_ODD ? all : all | mode->grant;
}

/* The leaf's frame and the offset in it. */
ALWAYS_INLINE uint64_t leaf_address(const struct descent *d, uint64_t address, unsigned shape)
{
	const struct mode_level *at = d->at;
	uint64_t frame = d->entry & at->leaf_address;

	if ((shape & MODE_SHAPE_ODD) || !(shape & MODE_SHAPE_8BYTE))
		frame |= (d->entry & at->high) << at->high_shift;
	return frame | (address & at->offset_mask);
}

/* A/D bits that the access has to set, as a nonzero value. */
ALWAYS_INLINE uint64_t unmarked(const struct mode *mode, const struct descent *d, unsigned access)
{
	const uint64_t write = -(uint64_t)(access & UMBRA_ACCESS_WRITE);

	return (~d->rights & mode->accessed) | (~d->entry & d->at->dirty & write);
}

/* ---- a parent, quickly ---- */

ALWAYS_INLINE struct hop quick_shape(const struct space *space, uint64_t address, unsigned access,
				     const unsigned shape)
{
	const struct mode *mode = space->mode;
	const struct mode_allow *allow = &mode->allow[access & MODE_ALLOW_MASK];
	struct descent d;

	if (unlikely(address & mode->beyond))
		return (struct hop){0, 0};
	descend(space, address, 0, shape, NULL, NULL, &d);
	if (unlikely(d.end != WALK_OK))
		return (struct hop){0, 0};
	if (unlikely((d.rights & allow->care) != allow->want))
		return (struct hop){0, 0};
	if (unlikely(unmarked(mode, &d, access)))
		return (struct hop){0, 0};
	return (struct hop){leaf_address(&d, address, shape), d.at->shift};
}

NOINLINE struct hop quick_8byte(const struct space *space, uint64_t address, unsigned access)
{
	return quick_shape(space, address, access, MODE_SHAPE_8BYTE);
}

NOINLINE struct hop quick_low6(const struct space *space, uint64_t address, unsigned access)
{
	return quick_shape(space, address, access, MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6);
}

NOINLINE struct hop quick_other(const struct space *space, uint64_t address, unsigned access)
{
	switch (space->mode->shape) {
	case 0: return quick_shape(space, address, access, 0);
	case MODE_SHAPE_LOW6: return quick_shape(space, address, access, MODE_SHAPE_LOW6);
	case MODE_SHAPE_ODD: return quick_shape(space, address, access, MODE_SHAPE_ODD);
	default: return quick_shape(space, address, access, MODE_SHAPE_8BYTE | MODE_SHAPE_ODD);
	}
}

/* ---- the end of a walk ---- */

/* out->address through the parent; false: out says why not. */
ALWAYS_INLINE bool finish(const struct space *space, uint64_t address, unsigned access,
			  unsigned flags, struct walk *out, const struct stage *stage)
{
	const uint64_t result = out->address;
	unsigned deeper;
	struct hop hop;

	out->final = result;
	if ((flags & WALK_NO_FINAL) || !space->parent)
		return true;
	deeper = final_access(space->parent, access, out->acc);
	hop = quick(quick_kind(space->parent), space->parent, result, deeper);
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

/* The A/D bits that the entry at @level has to get, 0 if it has them. */
static uint64_t to_mark(const struct mode *mode, const struct walk *out, unsigned level,
			unsigned access)
{
	const struct mode_level *at = &mode->level[level];
	uint64_t want = at->accessed;

	if (level == out->level && (access & UMBRA_ACCESS_WRITE))
		want |= at->dirty;
	return want & ~out->entry[level];
}

/* May the entries be written, as far as the parent is concerned (H-74, H-98)? */
static bool may_mark(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		     struct walk *out, const struct stage *stage)
{
	const struct space *parent = space->parent;
	unsigned update;

	if (!parent || !parent->mode)
		return true;
	update = parent->mode->stage2.table_update;
	if (update == parent->mode->stage2.table_read)
		return true;
	for (unsigned level = space->mode->top; level >= out->level; level--) {
		struct hop hop;

		if (!to_mark(space->mode, out, level, access))
			continue;
		hop = through(space, address, out->entry_address[level], update, flags, out, stage,
			      STAGE_TABLE);
		if (!hop.page_shift)
			return false;
		out->entry_final[level] = hop.address;
	}
	return true;
}

/*
 * Set A/D bits from the top down (G-35). In memory that may not be written they
 * are left as they are (G-36).
 */
static unsigned mark(const struct space *space, unsigned access, struct walk *out)
{
	const struct mode *mode = space->mode;

	for (unsigned level = mode->top; level >= out->level; level--) {
		const uint64_t bits = to_mark(mode, out, level, access);
		uint8_t *at;

		if (!bits)
			continue;
		at = window_at(space->memory, out->entry_final[level]);
		if (!at)
			return WALK_ABSENT;
		if (!space->memory->writable)
			continue;
		if (!entry_exchange(at, mode->entry_shift, out->entry[level],
				    out->entry[level] | bits))
			return WALK_RESTART;
		out->entry[level] |= bits;
	}
	return WALK_OK;
}

/* The rest of a walk whose entries lack A or D bits, until a race is lost. */
static unsigned finish_marking_once(const struct space *space, uint64_t address, unsigned access,
				    unsigned flags, struct walk *out, const struct stage *stage)
{
	const uint64_t dirty = space->mode->level[out->level].dirty;
	unsigned end;

	if (!may_mark(space, address, access, flags, out, stage))
		return out->end;
	end = mark(space, access, out);
	if (end == WALK_RESTART)
		return end;
	out->dirty = (out->entry[out->level] & dirty) == dirty;
	out->end = (enum walk_end)end;
	if (end != WALK_OK)
		return stopped(space, address, access, out, stage);
	return finish(space, address, access, flags, out, stage) ? WALK_OK : out->end;
}

/* The same with all the walks that lost races make necessary. */
COLD unsigned finish_marking(const struct space *space, uint64_t address, unsigned access,
			     unsigned flags, struct walk *out, const struct stage *stage)
{
	unsigned end = finish_marking_once(space, address, access, flags, out, stage);

	if (flags & WALK_ONCE)
		return end;
	while (end == WALK_RESTART) {
		out->restarts++;
		if (out->restarts == TRIES) {
			out->end = WALK_NOT_PRESENT;
			return stopped(space, address, access, out, stage);
		}
		end = attempt(space, address, access, flags | WALK_ONCE, out, stage);
	}
	return end;
}

/* Keys and shadow stacks. */
COLD bool permitted_special(const struct space *space, unsigned access, const struct walk *out)
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

	return perm_check(mode, &page, access, space->pkru, space->pkrs) == PERM_OK;
}

/* ACC_* of both raw rights; plain: the bits are where the formats of paging have them. */
ALWAYS_INLINE uint8_t shape_acc(const struct mode *mode, uint64_t rights, const unsigned shape)
{
	if (shape & (MODE_SHAPE_ODD | MODE_SHAPE_LOW6))
		return acc_of(mode, rights);
	return (uint8_t)((rights & (ACC_READ | ACC_WRITE | ACC_USER)) | (rights >> 60 & ACC_EXEC) |
			 mode->acc_always);
}

/* The walk did not come to a leaf. */
COLD unsigned halted(const struct space *space, uint64_t address, unsigned access, struct walk *out,
		     const struct stage *stage, const struct descent *d)
{
	out->end = d->end;
	out->level = (uint8_t)d->level;
	out->acc = out->acc_upper = acc_of(space->mode, d->rights);
	out->key = 0;
	out->dirty = false;
	/* The parent has left its own event. */
	return d->in_parent ? d->end : stopped(space, address, access, out, stage);
}

ALWAYS_INLINE unsigned attempt_shape(const struct space *space, uint64_t address, unsigned access,
				     unsigned flags, struct walk *out, const struct stage *stage,
				     const unsigned shape)
{
	const struct mode *mode = space->mode;
	const struct mode_allow *allow = &mode->allow[access & MODE_ALLOW_MASK];
	struct descent d;
	bool allowed;

	descend(space, address, flags, shape | SHAPE_RECORD, out, stage, &d);
	if (unlikely(d.end != WALK_OK)) {
		const struct descent copy = d;

		return halted(space, address, access, out, stage, &copy);
	}
	out->end = WALK_OK;
	out->level = (uint8_t)d.level;
	out->acc = shape_acc(mode, d.rights, shape);
	out->acc_upper = shape_acc(mode, d.upper, shape);
	out->key = key_of(mode, &d, shape);
	out->dirty = !(~d.entry & d.at->dirty);
	out->in_parent = false;
	out->event.kind = UMBRA_EVENT_NONE;
	out->address = leaf_address(&d, address, shape);
	out->page_shift = d.at->shift;

	if (likely(!(flags & WALK_NO_RIGHTS))) {
		allowed = (d.rights & allow->care) == allow->want;
		if (unlikely(mode->pk || (access & UMBRA_ACCESS_SHSTK)))
			allowed = permitted_special(space, access, out);
		if (unlikely(!allowed))
			return denied(space, address, access, out, stage);
		if (unlikely(unmarked(mode, &d, access)) && !(flags & WALK_NO_AD))
			return finish_marking(space, address, access, flags, out, stage);
	}
	if (shape & SHAPE_NESTED) {
		if (unlikely(!finish(space, address, access, flags, out, stage)))
			return out->end;
	} else {
		out->final = out->address;
	}
	return WALK_OK;
}

/* The instances: entry size, low six bits, anything; each with and without parent. */
#define INSTANCE_ARGS                                                                 \
	const struct space *space, uint64_t address, unsigned access, unsigned flags, \
		struct walk *out, const struct stage *stage
NOINLINE unsigned attempt_8byte(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage, MODE_SHAPE_8BYTE);
}

NOINLINE unsigned attempt_8byte_nested(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage,
			     MODE_SHAPE_8BYTE | SHAPE_NESTED);
}

NOINLINE unsigned attempt_low6(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage,
			     MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6);
}

NOINLINE unsigned attempt_low6_nested(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage,
			     MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6 | SHAPE_NESTED);
}

NOINLINE unsigned attempt_4byte(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage, 0);
}

NOINLINE unsigned attempt_4byte_nested(INSTANCE_ARGS)
{
	return attempt_shape(space, address, access, flags, out, stage, SHAPE_NESTED);
}

NOINLINE unsigned attempt_odd(INSTANCE_ARGS)
{
	const bool nested = space->parent;

	if (space->mode->entry_shift == 3 && !nested)
		return attempt_shape(space, address, access, flags, out, stage,
				     MODE_SHAPE_ODD | MODE_SHAPE_8BYTE);
	if (space->mode->entry_shift == 3)
		return attempt_shape(space, address, access, flags, out, stage,
				     MODE_SHAPE_ODD | MODE_SHAPE_8BYTE | SHAPE_NESTED);
	if (!nested)
		return attempt_shape(space, address, access, flags, out, stage, MODE_SHAPE_ODD);
	return attempt_shape(space, address, access, flags, out, stage,
			     MODE_SHAPE_ODD | SHAPE_NESTED);
}

/* No paging: everything is allowed and stays where it is. */
COLD unsigned attempt_identity(const struct space *space, uint64_t address, unsigned access,
			       unsigned flags, struct walk *out, const struct stage *stage)
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
	return finish(space, address, access, flags, out, stage) ? WALK_OK : out->end;
}

/* A second stage has no entry for so high an address (H-84, H-101). */
COLD unsigned attempt_beyond(const struct space *space, uint64_t address, unsigned access,
			     struct walk *out, const struct stage *stage)
{
	out->end = WALK_NOT_PRESENT;
	out->level = space->mode->top;
	out->acc = out->acc_upper = ACC_ALL;
	out->key = 0;
	out->dirty = false;
	return stopped(space, address, access, out, stage);
}

static unsigned attempt(const struct space *space, uint64_t address, unsigned access,
			unsigned flags, struct walk *out, const struct stage *stage)
{
	const struct mode *mode = space->mode;
	const bool nested = space->parent;

	if (unlikely(!mode))
		return attempt_identity(space, address, access, flags, out, stage);
	if (unlikely(address & mode->beyond))
		return attempt_beyond(space, address, access, out, stage);
	switch (mode->shape) {
	case MODE_SHAPE_8BYTE:
		return nested ? attempt_8byte_nested(space, address, access, flags, out, stage)
			      : attempt_8byte(space, address, access, flags, out, stage);
	case MODE_SHAPE_8BYTE | MODE_SHAPE_LOW6:
		return nested ? attempt_low6_nested(space, address, access, flags, out, stage)
			      : attempt_low6(space, address, access, flags, out, stage);
	case 0:
		return nested ? attempt_4byte_nested(space, address, access, flags, out, stage)
			      : attempt_4byte(space, address, access, flags, out, stage);
	default: return attempt_odd(space, address, access, flags, out, stage);
	}
}

enum walk_end walk(const struct space *space, uint64_t address, unsigned access, unsigned flags,
		   struct walk *out)
{
	out->restarts = 0;
	return (enum walk_end)attempt(space, address, access, flags, out, &stage_first);
}
