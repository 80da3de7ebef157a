/* SPDX-License-Identifier: MIT */
/*
 * log.h - reading umbra-hv's trace (option trace=) out of what came over its console.
 *
 *	struct log *log = log_open(path, error, size);
 *	while (log_next(log, &record, error, size) == LOG_RECORD)
 *		...
 *
 * docs/HV.md has the format. Lines without a record are the guest's, or the hypervisor's
 * words, and are passed over.
 */
#ifndef LAB_LOG_H
#define LAB_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_VALUES_MAX 16

struct log_record {
	unsigned long line;
	/** Kind, and its numbers; an entry "-" is LOG_EMPTY. */
	char kind;
	unsigned count;
	uint64_t value[LOG_VALUES_MAX];
};
#define LOG_EMPTY (1ull << 63)

enum log_result {
	LOG_RECORD,
	LOG_END,
	LOG_BAD, /* the error says why, with the line's number: nothing after it is to be had */
};

struct log;

/** log_open - NULL: no memory, or the file cannot be read; @error says why. */
struct log *log_open(const char *path, char *error, size_t size);
void log_close(struct log *log);
/** log_next - the next record, with its checksum right and none missing before it. */
enum log_result log_next(struct log *log, struct log_record *record, char *error, size_t size);
/** log_line, log_records - lines and records so far. */
unsigned long log_line(const struct log *log);
uint64_t log_records(const struct log *log);

#endif
