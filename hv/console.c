/* SPDX-License-Identifier: MIT */
/*
 * console.c - the hypervisor's own words.
 *
 * A character goes to port 0xE9, which emulators show, and to COM1, which the guest owns: its
 * settings stay. It may just be setting the line's speed, when the data register is another
 * one, or be testing the line in a loop: both are off while a line is written, and on again
 * when the last character has left. A machine without COM1 reads all ones there, and a line
 * that never gets idle is given up.
 */
#include "hv/console.h"
#include "hv/cpu.h"

#define PORT_DEBUG 0xe9
#define PORT_EXIT 0xf4
#define COM1_DATA 0x3f8
#define COM1_LINE_CONTROL 0x3fb
#define COM1_MODEM_CONTROL 0x3fc
#define COM1_LINE_STATUS 0x3fd
#define LINE_DIVISOR 0x80
#define MODEM_LOOP 0x10
#define LINE_IDLE 0x20 /* another character may come */
#define LINE_EMPTY 0x40 /* all have left */
#define PATIENCE 100000

struct settings {
	uint8_t line, modem;
};

static bool await(uint8_t status)
{
	for (unsigned i = 0; i < PATIENCE; i++)
		if (cpu_in8(COM1_LINE_STATUS) & status)
			return true;
	return false;
}

static struct settings borrow_serial(void)
{
	struct settings was = {cpu_in8(COM1_LINE_CONTROL), cpu_in8(COM1_MODEM_CONTROL)};

	if (was.line & LINE_DIVISOR)
		cpu_out8(COM1_LINE_CONTROL, was.line & ~LINE_DIVISOR);
	if (was.modem & MODEM_LOOP)
		cpu_out8(COM1_MODEM_CONTROL, was.modem & ~MODEM_LOOP);
	return was;
}

static void return_serial(struct settings was)
{
	if (!(was.line & LINE_DIVISOR) && !(was.modem & MODEM_LOOP))
		return;
	await(LINE_EMPTY);
	cpu_out8(COM1_LINE_CONTROL, was.line);
	cpu_out8(COM1_MODEM_CONTROL, was.modem);
}

static void put_serial(char c)
{
	if (await(LINE_IDLE))
		cpu_out8(COM1_DATA, (uint8_t)c);
}

static void put(void *context, char c)
{
	(void)context;
	cpu_out8(PORT_DEBUG, (uint8_t)c);
	if (c == '\n')
		put_serial('\r');
	put_serial(c);
}

struct field {
	unsigned width;
	char pad;
	unsigned longs;
};

static void put_number(console_sink *sink, void *context, uint64_t value, unsigned base,
		       const struct field *field)
{
	char digits[24];
	unsigned count = 0;

	/* Halves: a 32-bit build has no division of 64 bits. */
	if (base == 16) {
		do {
			digits[count++] = "0123456789abcdef"[value & 15];
			value >>= 4;
		} while (value);
	} else {
		do {
			uint64_t rest = 0;
			uint64_t quotient = 0;

			for (int i = 63; i >= 0; i--) {
				rest = rest << 1 | (value >> i & 1);
				if (rest >= 10) {
					rest -= 10;
					quotient |= 1ull << i;
				}
			}
			digits[count++] = (char)('0' + rest);
			value = quotient;
		} while (value);
	}
	for (unsigned i = count; i < field->width; i++)
		sink(context, field->pad);
	while (count)
		sink(context, digits[--count]);
}

static uint64_t take(va_list *args, unsigned longs)
{
	if (longs >= 2)
		return va_arg(*args, unsigned long long);
	return longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
}

static void put_text(console_sink *sink, void *context, const char *text, const struct field *field)
{
	unsigned length = 0;

	for (; text[length]; length++)
		sink(context, text[length]);
	for (; length < field->width; length++)
		sink(context, ' ');
}

static const char *parse(const char *format, struct field *field)
{
	*field = (struct field){.pad = ' '};
	if (*format == '0') {
		field->pad = '0';
		format++;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		field->width = field->width * 10 + (unsigned)(*format - '0');
	for (; *format == 'l'; format++)
		field->longs++;
	return format;
}

static void convert(console_sink *sink, void *context, char conversion, va_list *args,
		    const struct field *field)
{
	uint64_t value;

	switch (conversion) {
	case 's': put_text(sink, context, va_arg(*args, const char *), field); break;
	case 'c': sink(context, (char)va_arg(*args, int)); break;
	case 'x':
	case 'u':
		value = take(args, field->longs);
		put_number(sink, context, value, conversion == 'x' ? 16 : 10, field);
		break;
	case 'd':
		value = take(args, field->longs);
		if (!field->longs)
			value = (uint64_t)(int)value;
		if ((int64_t)value < 0) {
			sink(context, '-');
			value = -value;
		}
		put_number(sink, context, value, 10, field);
		break;
	default: sink(context, conversion);
	}
}

void console_format(console_sink *sink, void *context, const char *format, va_list args)
{
	struct field field;
	va_list copy;

	va_copy(copy, args);
	while (*format) {
		if (*format != '%') {
			sink(context, *format++);
			continue;
		}
		format = parse(format + 1, &field);
		if (!*format)
			break;
		convert(sink, context, *format++, &copy, &field);
	}
	va_end(copy);
}

void console_print(const char *format, ...)
{
	struct settings was = borrow_serial();
	va_list args;

	va_start(args, format);
	console_format(put, NULL, format, args);
	va_end(args);
	return_serial(was);
}

void console_say_list(const char *format, va_list args)
{
	struct settings was = borrow_serial();

	console_print("umbra-hv: ");
	console_format(put, NULL, format, args);
	console_print("\n");
	return_serial(was);
}

void console_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	console_say_list(format, args);
	va_end(args);
}

void console_record(const char *text)
{
	struct settings was;

	if (cpu_in8(PORT_DEBUG) == PORT_DEBUG) {
		for (; *text; text++)
			cpu_out8(PORT_DEBUG, (uint8_t)*text);
		return;
	}
	was = borrow_serial();
	for (; *text; text++)
		put_serial(*text);
	return_serial(was);
}

void console_end(unsigned code)
{
	cpu_out8(PORT_EXIT, (uint8_t)code);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void console_stop(unsigned code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	console_say_list(format, args);
	va_end(args);
	console_end(code);
}
