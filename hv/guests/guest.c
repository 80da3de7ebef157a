/* SPDX-License-Identifier: MIT */
/*
 * guest.c - printing and ending, for kernels without anything below them.
 */
#include "hv/guests/guest.h"

#include <stdarg.h>

#define COM1 0x3f8
#define EXIT 0xf4

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((char *)to)[i] = (char)value;
	return to;
}

static void put(char c)
{
	while (!(guest_in(COM1 + 5) & 0x20))
		;
	guest_out(COM1, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base, unsigned width, char pad)
{
	char digits[24];
	unsigned count = 0;

	do {
		unsigned digit = base == 16 ? value & 15 : (uint32_t)value % 10;

		digits[count++] = "0123456789abcdef"[digit];
		value = base == 16 ? value >> 4 : (uint32_t)value / 10;
	} while (value);
	for (unsigned i = count; i < width; i++)
		put(pad);
	while (count)
		put(digits[--count]);
}

static void convert(char conversion, unsigned longs, unsigned width, char pad, va_list *args)
{
	if (conversion == 's') {
		const char *text = va_arg(*args, const char *);
		unsigned length = 0;

		for (; text[length]; length++)
			put(text[length]);
		for (; length < width; length++)
			put(' ');
		return;
	}
	if (longs > 1)
		put_number(va_arg(*args, unsigned long long), 16, width, pad);
	else
		put_number(va_arg(*args, unsigned), conversion == 'x' ? 16 : 10, width, pad);
}

void guest_print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		unsigned longs = 0, width = 0;
		char pad = ' ';

		if (*format != '%') {
			put(*format);
			continue;
		}
		format++;
		if (*format == '0')
			pad = *format++;
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (unsigned)(*format - '0');
		for (; *format == 'l'; format++)
			longs++;
		convert(*format, longs, width, pad, &args);
	}
	va_end(args);
}

void guest_exit(int code)
{
	guest_out(EXIT, (uint8_t)code);
	for (;;)
		__asm__ volatile("cli; hlt");
}
