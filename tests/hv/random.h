/* SPDX-License-Identifier: MIT */
/*
 * random.h - numbers from a seed, and bytes that look like instructions.
 */
#ifndef TESTS_HV_RANDOM_H
#define TESTS_HV_RANDOM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct random {
	uint64_t state;
};

/* splitmix64. */
static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline unsigned random_below(struct random *random, unsigned limit)
{
	return (unsigned)(random_next(random) % limit);
}

/* From a variable of the environment, or @otherwise. */
static inline uint64_t random_setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* UMBRA_TEST_SCALE=small, in sanitizer builds: a tenth. */
static inline uint64_t random_rounds(const char *name, uint64_t usual)
{
	const char *scale = getenv("UMBRA_TEST_SCALE");

	return random_setting(name, scale && !strcmp(scale, "small") ? usual / 10 : usual);
}

/* Opcodes that the decoder has rows for, 0Fh xx as 0x100 + xx; and 256, 257 of any. */
static inline unsigned random_opcode(struct random *random)
{
	static const uint16_t known[] = {
		0x63,  0x6c,  0x6d,  0x6e,  0x6f,  0x101, 0x80,  0x81,  0x82,  0x83,
		0x84,  0x85,  0x86,  0x87,  0x88,  0x89,  0x8a,  0x8b,  0xa0,  0xa1,
		0xa2,  0xa3,  0xa4,  0xa5,  0xa8,  0xa9,  0xaa,  0xab,  0xc6,  0xc7,
		0xf6,  0xf7,  0xfe,  0xff,  0x1a3, 0x1ab, 0x1b0, 0x1b1, 0x1b3, 0x1b6,
		0x1b7, 0x1ba, 0x1bb, 0x1be, 0x1bf, 0x1c0, 0x1c1, 0x1c3, 0x1c7,
	};
	const unsigned count = sizeof(known) / sizeof(known[0]);
	const unsigned choice = random_below(random, count + 24);

	if (choice < count)
		return known[choice];
	if (choice < count + 16) /* arithmetic */
		return random_below(random, 8) * 8 + random_below(random, 6);
	return random_below(random, 512);
}

/* Prefixes, perhaps a REX, an opcode, and any bytes behind: 15 or more of them. */
static inline void random_insn(struct random *random, uint8_t bytes[32])
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x66, 0x67, 0xf0,
					   0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41};
	const unsigned opcode = random_opcode(random);
	unsigned at = 0;

	for (unsigned i = 0; i < 32; i += 8) {
		const uint64_t word = random_next(random);

		memcpy(bytes + i, &word, 8);
	}
	while (at < 12 && random_below(random, 2))
		bytes[at++] = prefixes[random_below(random, sizeof(prefixes))];
	if (random_below(random, 3) == 0)
		bytes[at++] = 0x40 + random_below(random, 16);
	if (opcode >= 0x100)
		bytes[at++] = 0x0f;
	bytes[at] = (uint8_t)opcode;
}

#endif
