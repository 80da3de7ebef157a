/* SPDX-License-Identifier: MIT */
/*
 * mem.h - copy, fill and compare, for a core without libc.
 *
 * The names and contracts are the C library's, because compilers call them
 * behind the programmer's back (struct copies, zeroed arrays). In libumbra.o
 * they are local symbols from mem.c; in tests they are libc's.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
