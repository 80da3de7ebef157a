/* SPDX-License-Identifier: MIT */
/*
 * log.c - records among other people's words.
 *
 *	[1.2345] Freeing unused~u3f S 6e8a0ff8 - 8c0000001f345867 1 a1b2
 *	<----- the guest -----><------------------ a record ---------->
 *
 * What begins like a record and has the right checksum is one. What does not is somebody's
 * text, unless a record is missing afterwards: then the last line that looked like one is
 * told as well.
 */
#include "lab/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "~u"
#define MARK_LENGTH 2
#define CHECKSUM_LENGTH 4
/* "3f S" */
#define SHORTEST 4

struct log {
	FILE *file;
	char *text;
	size_t room;
	unsigned long line;
	uint64_t records;
	unsigned long damaged; /* line that looked like a record and was none, since the last */
};

struct log *log_open(const char *path, char *error, size_t size)
{
	struct log *log = calloc(1, sizeof(*log));

	if (log)
		log->file = fopen(path, "rb");
	if (log && log->file)
		return log;
	snprintf(error, size, "%s", strerror(log ? errno : ENOMEM));
	free(log);
	return NULL;
}

void log_close(struct log *log)
{
	fclose(log->file);
	free(log->text);
	free(log);
}

unsigned long log_line(const struct log *log)
{
	return log->line;
}

uint64_t log_records(const struct log *log)
{
	return log->records;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* CCITT: x^16 + x^12 + x^5 + 1, from ffffh. */
static unsigned checksum(const char *text, size_t length)
{
	unsigned crc = 0xffff;

	for (size_t i = 0; i < length; i++) {
		crc ^= (unsigned)(unsigned char)text[i] << 8;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
	}
	return crc;
}

/* @count digits at @text, or -1. */
static int fixed(const char *text, unsigned count)
{
	int value = 0;

	for (unsigned i = 0; i < count; i++) {
		const int one = digit(text[i]);

		if (one < 0)
			return -1;
		value = value * 16 + one;
	}
	return value;
}

/* The numbers between @text and @end. False: something else is there. */
static bool take_values(const char *text, const char *end, struct log_record *record)
{
	record->count = 0;
	while (text < end) {
		uint64_t value = 0;
		unsigned digits = 0;

		if (*text++ != ' ' || record->count == LOG_VALUES_MAX)
			return false;
		if (text < end && *text == '-') {
			value = LOG_EMPTY;
			text++;
			digits++;
		}
		for (; text < end && digit(*text) >= 0; text++, digits++) {
			if (digits == 16)
				return false;
			value = value << 4 | (unsigned)digit(*text);
		}
		if (!digits)
			return false;
		record->value[record->count++] = value;
	}
	return true;
}

/* Is @text, up to @end, "3f S 1 2 3 a1b2"? Gives its number, or -1. */
static int parse(const char *text, const char *end, struct log_record *record)
{
	const char *last = end - CHECKSUM_LENGTH - 1;
	int number;

	if (end - text < SHORTEST + 1 + CHECKSUM_LENGTH || *last != ' ')
		return -1;
	number = fixed(text, 2);
	if (number < 0 || text[2] != ' ' ||
	    fixed(last + 1, CHECKSUM_LENGTH) != (int)checksum(text, (size_t)(last - text)))
		return -1;
	record->kind = text[3];
	return take_values(text + SHORTEST, last, record) ? number : -1;
}

/* A record in the line that is in log->text; its number, or -1. */
static int find(struct log *log, size_t length, struct log_record *record)
{
	const char *end = log->text + length;

	while (end > log->text && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	for (const char *at = log->text; at + MARK_LENGTH < end; at++) {
		int number;

		if (memcmp(at, MARK, MARK_LENGTH) != 0)
			continue;
		number = parse(at + MARK_LENGTH, end, record);
		if (number >= 0)
			return number;
		log->damaged = log->line;
	}
	return -1;
}

/* Record @number is where another should be. */
static enum log_result missing(const struct log *log, int number, char *error, size_t size)
{
	int used;

	if (!log->records)
		used = snprintf(error, size,
				"the log begins with record %02x, its beginning is lost",
				(unsigned)number);
	else
		used = snprintf(error, size,
				"record %02x where %02x should be: some are missing, or "
				"were put in",
				(unsigned)number, (unsigned)(log->records & 0xff));
	if (log->damaged && used > 0 && (size_t)used < size)
		snprintf(error + used, size - (size_t)used, " (line %lu is damaged)", log->damaged);
	return LOG_BAD;
}

enum log_result log_next(struct log *log, struct log_record *record, char *error, size_t size)
{
	ssize_t length;

	while ((length = getline(&log->text, &log->room, log->file)) > 0) {
		int number;

		log->line++;
		number = find(log, (size_t)length, record);
		if (number < 0)
			continue;
		record->line = log->line;
		if (number != (int)(log->records & 0xff))
			return missing(log, number, error, size);
		log->records++;
		log->damaged = 0;
		return LOG_RECORD;
	}
	if (ferror(log->file)) {
		snprintf(error, size, "%s", strerror(errno));
		return LOG_BAD;
	}
	if (log->damaged) {
		snprintf(error, size, "the last record, in line %lu, is damaged", log->damaged);
		return LOG_BAD;
	}
	return LOG_END;
}
