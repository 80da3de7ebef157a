/* SPDX-License-Identifier: MIT */
/*
 * text.c - bytes, strings, numbers; and the four functions that a compiler may call
 * without being asked.
 */
#include "hv/text.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	char *last = (char *)to + bytes - 1;
	const char *source = (const char *)from + bytes - 1;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	__asm__ volatile("std; rep movsb; cld"
			 : "+D"(last), "+S"(source), "+c"(bytes)
			 :
			 : "memory");
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *x = a, *y = b;

	for (; bytes; bytes--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

void text_copy(void *to, const void *from, size_t bytes)
{
	memmove(to, from, bytes);
}

void text_zero(void *to, size_t bytes)
{
	memset(to, 0, bytes);
}

size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *a, const char *b)
{
	size_t length = text_length(a);

	return length == text_length(b) && !memcmp(a, b, length);
}

static bool digit(char c, unsigned base, unsigned *value)
{
	if (c >= '0' && c <= '9')
		*value = (unsigned)(c - '0');
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		*value = (unsigned)((c | 0x20) - 'a') + 10;
	else
		return false;
	return *value < base;
}

bool text_number(const char *text, uint64_t *value)
{
	unsigned base = 10, one, shift = 0;
	uint64_t sum = 0;

	if (text[0] == '0' && (text[1] | 0x20) == 'x') {
		base = 16;
		text += 2;
	}
	if (!digit(*text, base, &one))
		return false;
	for (; digit(*text, base, &one); text++) {
		if (sum >> 59)
			return false;
		sum = sum * base + one;
	}
	switch (*text | 0x20) {
	case 'k': shift = 10; break;
	case 'm': shift = 20; break;
	case 'g': shift = 30; break;
	default: break;
	}
	if (shift)
		text++;
	if (*text || sum << shift >> shift != sum)
		return false;
	*value = sum << shift;
	return true;
}
