/* SPDX-License-Identifier: MIT */
/*
 * fault.h - one fault on its way (layer 4).
 *
 * It travels forward only: inputs first, then one group of fields per stage. No
 * stage writes the group of an earlier one.
 */
#ifndef CORE_FAULT_H
#define CORE_FAULT_H

#include "core/mmu.h"
#include "core/walk.h"

/** struct neighbour - a guest entry beside the one that faulted, to be mapped as well. */
struct neighbour {
	uint16_t index; /* of the entry that mirrors it */
	uint8_t acc, key;
	bool host_writable;
	uint64_t entry; /* the guest's */
	uint64_t address; /* where it is */
	umbra_gfn gfn;
	umbra_pfn pfn;
};
#define FAULT_NEIGHBOURS 7

struct fault {
	/* inputs */
	struct mmu *mmu;
	/** What the tables mirror: the guest's own translation, gva -> gpa, or L1's of L2's
	 * gpa. NULL: nothing, TDP. */
	const struct space *space;
	/** Table to map in, and what may be used up in doing so. */
	struct page *root;
	struct reserve *reserve;
	/** What hardware could not translate: of @space's input; TDP: guest-physical. */
	uint64_t address;
	/** First frame of such addresses that the root cannot translate. */
	uint64_t reach;
	/** Set of enum umbra_access. */
	unsigned access;
	/** Nobody has accessed it yet (F-42). */
	bool prefault;
	/** Hardware met a reserved bit or a misconfiguration (mmio_fault). */
	bool reserved;
	/** Slots that the space's memory window is not older than; what is found in
	 * others is not used. */
	uint64_t generation;

	/* walk: the guest's tables, where they are shadowed */
	struct walk walk;
	/** Address to map, and what the guest's tables allow there (ACC_*). */
	umbra_gpa gpa;
	uint8_t acc;
	uint8_t key;
	/** A shadow-stack page (H-54): D must be set in a leaf without W. */
	bool shstk;

	/* slots */
	umbra_gfn gfn;
	struct slot *slot; /* NULL: no memory there */
	/** The page is private now. */
	bool is_private;

	/* host pin */
	struct umbra_pin pin;
	/** Largest level that guest, slot, host and configuration allow. */
	uint8_t goal;
	/** TDP: under the lock, others are kept out (else they map at the same time). */
	bool exclusive;

	/* prefetch: looked up before the lock, mapped under it */
	unsigned neighbour_count;
	struct neighbour neighbour[FAULT_NEIGHBOURS];

	/* tdp | shadow */
	/** Level mapped at; 0: nothing had to be changed. */
	uint8_t level;

	/* outcome */
	enum umbra_verdict verdict;
	struct umbra_event event; /* INJECT */
};

/*
 * Both inside a read-side section that began before fault->generation was read: slots
 * and the memory window stay good until it ends.
 */
/** fault_tdp - fault->address is guest-physical. */
enum umbra_status fault_tdp(struct fault *fault);

/* Stages, for who makes faults of his own (prefault.c). */
/** fault_prepare - set aside what mapping takes. ENOMEM, ENOSPC. No lock is held. */
enum umbra_status fault_prepare(struct fault *fault);
/** fault_slots_changed - since fault->generation. */
bool fault_slots_changed(const struct fault *fault);
/** fault_goal - the level to map at, given slot, gfn and pin: at most @level. */
unsigned fault_goal(const struct fault *fault, unsigned level);
/** fault_shadow - fault->space translates it further, if it does. */
enum umbra_status fault_shadow(struct fault *fault);

#endif
