/* SPDX-License-Identifier: MIT */
/*
 * console.h - lines on COM1 and port 0xE9.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include <stdarg.h>
#include <stdint.h>

/** Where a character goes; @context is the caller's. */
typedef void console_sink(void *context, char c);

/**
 * console_format - the printf of this program. Conversions: %s %c %u %d %x %% with an
 * optional width, a 0 in front of it, and l or ll; %x takes no sign.
 */
void console_format(console_sink *sink, void *context, const char *format, va_list args);
/** console_say - one line on the console, "umbra-hv: " in front, a newline behind. */
void console_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_say_list(const char *format, va_list args);
/** console_print - text as it is. */
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** console_record - text for a program to read: to port 0xE9 alone, if an emulator is there
 * that answers on it, else to COM1 alone. */
void console_record(const char *text);
/** console_stop - says a line and ends the run: QEMU's isa-debug-exit gets @code, and the
 * CPU halts. */
_Noreturn void console_stop(unsigned code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** console_end - ends the run without a word. */
_Noreturn void console_end(unsigned code);

/** What isa-debug-exit is told (QEMU's exit status is 2 * code + 1). */
#define CONSOLE_CANNOT_START 0x30
#define CONSOLE_GUEST_STOPPED 0x31
#define CONSOLE_BUG 0x32

#endif
