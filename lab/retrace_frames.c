/* SPDX-License-Identifier: MIT */
/*
 * retrace_frames.c - the guest's own tables, and who could write to them unseen.
 *
 *	frame         mirrors, unsync ones among them; leaves of 4K that may write it   I-7
 *	2M, 1G region mirrors of frames in it; large leaves there                       I-8
 *
 * All in one hash with open addressing. In the middle of an operation there may be both: it
 * is looked at when the guest is entered, and only where something has changed.
 */
#include "lab/retrace_parts.h"

#include <stdlib.h>

#define LEVEL_SHIFT 60
#define LEVELS 3

static uint64_t key_of(uint64_t gfn, unsigned level)
{
	return gfn >> 9 * (level - 1) << 9 * (level - 1) | (uint64_t)level << LEVEL_SHIFT;
}

static struct retrace_frame *probe(const struct retrace_frames *frames, uint64_t key)
{
	size_t at = (size_t)(key * 0x9e3779b97f4a7c15ull >> 20) & (frames->size - 1);

	while (frames->slot[at].key && frames->slot[at].key != key)
		at = (at + 1) & (frames->size - 1);
	return &frames->slot[at];
}

static bool grow(struct retrace *r)
{
	struct retrace_frames *frames = &r->frames, old = *frames;

	if (frames->size && frames->used < frames->size / 2)
		return true;
	frames->size = old.size ? 2 * old.size : 1024;
	frames->slot = calloc(frames->size, sizeof(*frames->slot));
	if (!frames->slot) {
		*frames = old;
		r->out_of_memory = true;
		return false;
	}
	for (size_t i = 0; i < old.size; i++)
		if (old.slot[i].key)
			*probe(frames, old.slot[i].key) = old.slot[i];
	free(old.slot);
	return true;
}

static struct retrace_frame *touch(struct retrace *r, uint64_t key)
{
	struct retrace_frames *frames = &r->frames;
	struct retrace_frame *frame;

	if (!grow(r))
		return NULL;
	frame = probe(frames, key);
	frames->used += !frame->key;
	frame->key = key;
	if (frames->touched_count < RETRACE_TOUCHED_MAX)
		frames->touched[frames->touched_count] = key;
	frames->touched_count++;
	return frame;
}

void retrace_mirror(struct retrace *r, uint64_t gfn, int change, int unsync)
{
	for (unsigned level = 1; level <= LEVELS; level++) {
		struct retrace_frame *frame = touch(r, key_of(gfn, level));

		if (!frame)
			return;
		frame->mirrors += (uint32_t)change;
		frame->unsync += (uint32_t)unsync;
	}
}

void retrace_map(struct retrace *r, uint64_t gfn, unsigned level, int change)
{
	struct retrace_frame *frame = touch(r, key_of(gfn, level));

	if (frame)
		frame->mapped += (uint32_t)change;
}

static void check(struct retrace *r, const struct retrace_frame *frame)
{
	const unsigned level = (unsigned)(frame->key >> LEVEL_SHIFT);
	const uint64_t gfn = frame->key & ((1ull << LEVEL_SHIFT) - 1);

	if (!frame->mapped)
		return;
	if (level == 1 && frame->mirrors > frame->unsync)
		retrace_tell(r, "I-7",
			     "frame %llx is a guest's table that is followed, and may be "
			     "written unseen",
			     (unsigned long long)gfn);
	if (level > 1 && frame->mirrors)
		retrace_tell(r, "I-8",
			     "a level %u page at frame %llx is mapped over a guest's table", level,
			     (unsigned long long)gfn);
}

void retrace_frames_check(struct retrace *r)
{
	struct retrace_frames *frames = &r->frames;

	if (frames->touched_count > RETRACE_TOUCHED_MAX) {
		for (size_t i = 0; i < frames->size; i++)
			if (frames->slot[i].key)
				check(r, &frames->slot[i]);
	} else {
		for (unsigned i = 0; i < frames->touched_count; i++)
			check(r, probe(frames, frames->touched[i]));
	}
	frames->touched_count = 0;
}
