/* SPDX-License-Identifier: MIT */
/*
 * bits_spte.c - entries that Umbra or KVM wrote, explained by core's own layouts.
 *
 * First the state (facts Q-6 to Q-9, Q-25): empty, frozen, MMIO, or present. Only
 * a present entry has rights, and is held against the hardware's reserved bits
 * and the rules for what may be written (Q-1, Q-10, Q-11, Q-41); each breach is
 * a finding.
 */
#include "cli/bits_parts.h"
#include "core/entry.h"

#include <string.h>

struct spte {
	const struct entry_kind *kind;
	const struct mode *mode; /* what the hardware takes the entry for */
	bool leaf;
};

static void part(struct bits_writer *w, uint64_t mask, const char *name, const char *text)
{
	if (w->value & mask)
		bits_name(w, 63 - (unsigned)__builtin_clzll(mask), (unsigned)__builtin_ctzll(mask),
			  name, text);
}

void bits_spte_bind(struct bits_bound *bound)
{
	const struct bits_request *request = &bound->request;
	enum bits_mode mode = request->mode;
	bool ept = mode == BITS_MODE_EPT || (mode == BITS_MODE_AUTO && !request->amd);
	struct entry_config config = {
		.generation = request->generation,
		.ept = ept,
		.ad = request->flags & MODE_AD,
		.exec_only = request->flags & MODE_EXECONLY,
		.pae = mode == BITS_MODE_PAE,
		.maxphyaddr = request->maxphyaddr,
		.l1tf_cache_bits = request->l1tf,
	};

	entry_bind(&bound->entries, &config);
	/* Umbra's own tables always have NX, and 5 levels hide no bit of 4. */
	mode_bind(&bound->mode,
		  ept          ? &format_ept5
		  : config.pae ? &format_pae
			       : &format_5,
		  request->flags | MODE_NX | MODE_2M, request->maxphyaddr);
}

/* ---- not present ---- */

static void not_present(struct bits_writer *w, const struct spte *s)
{
	const struct entry_layout *layout = s->kind->layout;

	for (unsigned g = 0; g < ENTRY_GENERATIONS; g++) {
		if (w->value == entry_layout(g, layout->ept)->frozen) {
			bits_add(w, 63, 0, "frozen",
				 "the frozen value of layout %s: a writer owns the entry",
				 layout->frozen == w->value
					 ? layout->generation
					 : entry_layout(g, layout->ept)->generation);
			bits_summary(w, "frozen: a writer owns it, other vcpus try again");
			if (w->value != layout->frozen)
				bits_find(w, "Q-9", "layout %s freezes with 0x%llx",
					  layout->generation, (unsigned long long)layout->frozen);
			return;
		}
	}
	if (w->value == layout->nonpresent) {
		part(w, layout->nonpresent, layout->ept ? "SVE" : "nonpresent",
		     layout->ept ? "suppress #VE, as in every entry that is not present"
				 : "bit 63, ignored because P = 0; the same for all vendors (Q-8)");
		bits_summary(w, "empty: nothing is mapped");
		return;
	}
	if (!w->value) {
		bits_summary(w, "zero: the empty value of a PAE root and of 32-bit KVM");
		if (layout->ept)
			bits_find(w, "Q-41", "bit 63 is clear: the guest could get a #VE");
		return;
	}
	if (s->kind->pae && w->report->level == 3 && (w->value & ~s->kind->address) == 1) {
		part(w, 1, "P", "present; a PAE root's entry has no rights (R-33)");
		bits_address(w, s->kind->address, "table", "address of the table page");
		bits_say_hex(w, "table of level 2 at ", w->value & s->kind->address);
		bits_say(w, ", as KVM writes it, who has PAE roots apart (R-23)");
		return;
	}
	bits_rest(w, ~0ull, "unknown", "no meaning: the MMU-present bit (11) is clear");
	bits_summary(w, "neither present nor empty, frozen or MMIO");
	bits_find(w, "Q-8, Q-9, Q-25", "no entry with this value is ever written");
}

/* Q-25: may an MMIO entry of @generation be believed? */
static void age(struct bits_writer *w, const struct entry_kind *kind, uint64_t generation)
{
	const uint64_t now = w->request->now;
	const uint64_t now_low = now & ((1ull << entry_generation_bits(kind)) - 1);

	if (!w->request->now_given)
		return;
	if (now >> 63) /* M-5 */
		bits_say(w, "; not to be believed: the memory slots are being changed");
	else if (now_low == generation)
		bits_say(w, "; current");
	else
		bits_say_hex(w, "; stale, the memory slots are at generation ", now_low);
}

static void mmio(struct bits_writer *w, const struct spte *s)
{
	const struct entry_kind *kind = s->kind;
	const struct entry_layout *l = kind->layout;
	unsigned acc = entry_mmio_acc(kind, w->value);
	uint64_t gfn = entry_mmio_gfn(kind, w->value).v;
	uint64_t generation = entry_mmio_generation(kind, w->value);

	if (l->ept)
		bits_add(w, 2, 0, "MMIO", "W and X without R: a misconfiguration by design");
	else
		bits_add(w, 51, 51, "MMIO", "reserved address bit: a fault with RSVD by design");
	if (!l->ept)
		bits_add(w, 0, 0, "P", "present, so that the reserved bit is looked at");
	if (kind->mmio_access) {
		part(w, l->write, "W", "rights kept for the access: write");
		part(w, l->user, "U", "rights kept for the access: user");
	}
	bits_add(w, l->mmio_gen_low_shift + l->mmio_gen_low_bits - 1u, l->mmio_gen_low_shift,
		 "generation-low", "low %u bits of the generation 0x%llx", l->mmio_gen_low_bits,
		 (unsigned long long)generation);
	bits_add(w, l->mmio_gen_high_shift + l->mmio_gen_high_bits - 1u, l->mmio_gen_high_shift,
		 "generation-high", "high %u bits of the generation", l->mmio_gen_high_bits);
	bits_address(w, kind->mmio_gfn_low, "gpa", "guest-physical address of the MMIO page");
	if (kind->l1tf) {
		bits_address(w, kind->l1tf, "l1tf", "inverted against L1TF, all 1");
		bits_address(w, kind->l1tf << 5, "gpa-moved",
			     "the address bits that L1TF displaced");
	}
	bits_summary(w, "MMIO: gfn 0x%llx, generation 0x%llx", (unsigned long long)gfn,
		     (unsigned long long)generation);
	if (!l->ept)
		bits_summary(w, ", %s%s", acc & ACC_WRITE ? "rw" : "r-",
			     acc & ACC_USER ? " user" : " supervisor");
	age(w, kind, generation);
	if (kind->l1tf & ~w->value)
		bits_find(w, "Q-26", "an address bit that L1TF needs set is clear");
	if (w->value & ~w->covered) {
		bits_rest(w, ~0ull, "unknown", "no meaning in an MMIO entry");
		bits_find(w, "Q-23", "bits outside the MMIO format are set");
	}
}

/* ---- present ---- */

static const char *const ad_names[4] = {
	"enabled: the hardware sets A and D",
	"disabled: no hardware A/D, accesses are tracked by taking rights away",
	"write protect: A/D work, but dirty logging clears W",
	"an unused value",
};

static void software(struct bits_writer *w, const struct spte *s, bool tracked)
{
	const struct entry_layout *l = s->kind->layout;
	uint64_t saved = l->saved_mask << l->saved_shift;

	part(w, l->mmu_present, "MMU-present", "one of ours, whatever the hardware sees (Q-6)");
	part(w, l->host_writable, "host-writable", "the embedder lets the frame be written");
	part(w, l->mmu_writable, "MMU-writable",
	     "no guest table is shadowed here: W may be set at once");
	if (l->ad_mask)
		bits_name(w, l->ad_shift + 1u, l->ad_shift, "A/D-type",
			  ad_names[(w->value & l->ad_mask) >> l->ad_shift]);
	for (uint64_t rest = w->value & saved; rest; rest &= rest - 1) {
		uint64_t right = (rest & -rest) >> l->saved_shift;

		part(w, rest & -rest,
		     right == l->read   ? "saved-R"
		     : right == l->exec ? "saved-X"
					: "saved-XU",
		     "right that the tracked entry gets back on an access");
	}
	if (!tracked && w->value & saved)
		bits_find(w, "Q-11", "saved rights in an entry that is not access-tracked");
	if (entry_ad(s->kind, w->value) == (enum entry_ad)3)
		bits_find(w, "Q-1", "A/D type 3 is unused");
}

static const char *const memtypes[8] = {
	"memory type: uncacheable (UC)",   "memory type: write combining (WC)",
	"memory type: an illegal value",   "memory type: an illegal value",
	"memory type: write through (WT)", "memory type: write protected (WP)",
	"memory type: write back (WB)",    "memory type: an illegal value",
};

static void ept_hardware(struct bits_writer *w, const struct spte *s)
{
	const struct entry_layout *l = s->kind->layout;
	bool software_ad = l->software_ad &&
			   (!s->kind->ad || entry_ad(s->kind, w->value) == ENTRY_AD_DISABLED);

	part(w, l->read, "R", "reads are allowed");
	part(w, l->write, "W", "writes are allowed");
	part(w, l->exec, l->exec_user ? "XS" : "X",
	     l->exec_user ? "fetches are allowed (MBEC: from supervisor-mode addresses)"
			  : "fetches are allowed");
	part(w, l->exec_user, "XU", "fetches from user-mode addresses, where MBEC is on");
	part(w, l->accessed, "A", software_ad ? "accessed, kept by software" : "accessed");
	if (s->leaf) {
		part(w, l->dirty, "D", software_ad ? "dirty, kept by software" : "dirty");
		bits_name(w, 5, 3, "memtype", memtypes[w->value >> 3 & 7]);
		part(w, 1ull << 6, "IPAT", "ignore PAT: the memory type is final");
	}
	part(w, l->always, "SVE", "suppress #VE, in every present entry (Q-41)");
	if (!(w->value & l->always))
		bits_find(w, "Q-41", "bit 63 is clear: the guest could get a #VE");
}

static void other_hardware(struct bits_writer *w, const struct spte *s)
{
	const struct entry_layout *l = s->kind->layout;

	part(w, l->present, "P", "present, and readable");
	part(w, l->write, "W", "writes are allowed");
	part(w, l->user, "U", "user-mode accesses are allowed (GMET: no supervisor fetches)");
	part(w, l->accessed, "A", "accessed");
	if (s->leaf)
		part(w, l->dirty, "D", "dirty");
	if (s->leaf && s->kind->key_mask)
		part(w, l->key_mask, "key", "protection key of the page");
	part(w, l->nx, "NX", "no fetches");
	if (w->value & 0x118)
		bits_find(w, "7.1 (bits 3, 4, 8)",
			  "PWT, PCD and G are always 0 in entries of ours");
	if (!(w->value & l->present))
		bits_find(w, "Q-5", "MMU-present but not present to the hardware");
}

static void state(struct bits_writer *w, const struct spte *s, bool tracked)
{
	const struct entry_kind *kind = s->kind;
	bool host = entry_is_host_writable(kind, w->value);
	bool mmu = entry_is_mmu_writable(kind, w->value);
	bool write = entry_is_writable(kind, w->value);
	unsigned acc = entry_acc(kind, w->value);

	bits_say(w, acc & ACC_READ ? ", r" : ", -");
	bits_say(w, acc & ACC_WRITE ? "w" : "-");
	bits_say(w, acc & ACC_EXEC ? "x" : "-");
	if (!kind->layout->ept)
		bits_say(w, acc & ACC_USER ? " user" : " supervisor");
	else if (kind->layout->exec_user)
		bits_say(w, acc & ACC_USER ? "u" : "-");
	bits_say(w, tracked ? ", access-tracked"
		    : write ? ", writable"
		    : mmu   ? ", write protected (dirty logging)"
		    : host  ? ", write protected (shadowed, or not allowed)"
			    : ", read-only in the host");
	if (!entry_writable_state_ok(kind, w->value))
		bits_find(w, "Q-10", "host-writable %d, MMU-writable %d, W %d is not a legal state",
			  host, mmu, write);
}

/* Layout 7.3 keeps nothing in bits that other layouts use, and the like. */
static void leftovers(struct bits_writer *w, const struct spte *s)
{
	const struct entry_layout *l = s->kind->layout;
	const struct mode_level *at = &s->mode->level[w->report->level];
	bool large = at->large && (w->value & at->large);
	char list[64];
	uint64_t rest;

	if (!s->leaf && w->value & (l->host_writable | l->mmu_writable))
		bits_find(w, "Q-10", "an entry that points to a table has no writable state");
	bits_rest(w, at->rsvd[large], "reserved", "must be 0 for the hardware");
	rest = w->value & ~w->covered;
	if (!rest)
		return;
	bits_rest(w, rest, "unused", "no meaning in this layout");
	bits_find(w, "Q-40", "%s set, which layout %s does not use",
		  bits_list(rest, list, sizeof(list)), l->generation);
}

static void present(struct bits_writer *w, struct spte *s)
{
	const struct entry_kind *kind = s->kind;
	const struct entry_layout *l = kind->layout;
	unsigned level = w->report->level;
	bool tracked, pdpte = kind->pae && level == 3;

	s->leaf = entry_is_leaf(kind, w->value, level) && !pdpte;
	w->conditions |= s->leaf ? IF_LEAF : IF_TABLE;
	tracked = s->leaf && entry_is_tracked(kind, w->value);
	software(w, s, tracked);
	if (pdpte)
		part(w, l->present, "P", "present; a PAE root's entry has no rights (R-33)");
	else if (l->ept)
		ept_hardware(w, s);
	else
		other_hardware(w, s);
	if (s->leaf && level > 1)
		part(w, l->large, "PS", "page size: the entry maps a large page");
	bits_address(w, kind->address, s->leaf ? "pfn" : "table",
		     s->leaf ? "address of the frame" : "address of the table page");
	if (s->leaf) {
		bits_say(w, bits_page(s->mode, level));
		bits_say_hex(w, " leaf, pfn ", entry_pfn(kind, w->value).v);
		state(w, s, tracked);
	} else {
		bits_summary(w, "table of level %u at 0x%llx", level - 1,
			     (unsigned long long)entry_table(kind, w->value).v);
	}
	bits_reserved(w, s->mode, level);
	leftovers(w, s);
}

void bits_spte(struct bits_writer *w)
{
	struct spte s = {.kind = &w->bound->entries, .mode = &w->bound->mode};

	if (entry_is_present(s.kind, w->value))
		present(w, &s);
	else if (entry_is_mmio(s.kind, w->value))
		mmio(w, &s);
	else
		not_present(w, &s);
}
