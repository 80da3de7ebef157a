/* SPDX-License-Identifier: MIT */
/*
 * mem.c - the four functions that a freestanding compiler may still call.
 *
 * GCC and Clang require memcpy, memmove, memset and memcmp even of a
 * freestanding environment. They are compiled into libumbra.o only and made
 * local there, so that an embedder neither has to provide them nor sees them.
 *
 * Plain loops: the core copies a page at most, and never in a fault's path. The
 * file is compiled with -fno-tree-loop-distribute-patterns (and -fno-builtin,
 * which -ffreestanding implies), else the loops become calls of themselves.
 */
#include "core/mem.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	for (size_t i = 0; i < size; i++)
		t[i] = f[i];
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (t <= f) {
		for (size_t i = 0; i < size; i++)
			t[i] = f[i];
	} else {
		for (size_t i = size; i > 0; i--)
			t[i - 1] = f[i - 1];
	}
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	unsigned char *t = to;

	for (size_t i = 0; i < size; i++)
		t[i] = (unsigned char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
	return 0;
}
