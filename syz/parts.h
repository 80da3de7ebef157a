/* SPDX-License-Identifier: MIT */
/* parts.h - what the reader's files share; nobody outside syz/ sees it. */
#ifndef SYZ_PARTS_H
#define SYZ_PARTS_H

#include "syz/syz.h"

/* ---- arena.c ---- */

struct arena_chunk;
/** struct arena - memory that is given back all at once. Zeroed is empty. */
struct arena {
	struct arena_chunk *chunks;
	size_t left; /* bytes of the first chunk not given away */
};
/** arena_take - @size zeroed bytes, aligned for anything; NULL: memory is short. */
void *arena_take(struct arena *arena, size_t size);
void arena_free(struct arena *arena);

/* ---- literal.c ---- */

/** struct reader - the text, and where in it we are. */
struct reader {
	const char *text;
	size_t size, at;
	/** Line of .at, and where it begins. */
	unsigned line;
	size_t line_start;
	struct arena *arena;
	struct syz_program *program;
	struct syz_error *error;
	bool defined[SYZ_RESULT_MAX];
};

/** reader_peek - the byte at hand; 0 at the end of the line and of the text (a zero byte in
 * the text looks like it too, but nothing accepts either). */
static inline char reader_peek(const struct reader *r)
{
	return r->at < r->size && r->text[r->at] != '\n' ? r->text[r->at] : 0;
}
struct syz_place reader_place(const struct reader *r);
void reader_skip_blanks(struct reader *r);

/** reader_expected - error "expected @what, found ..." here; false. */
bool reader_expected(struct reader *r, const char *what);
/** reader_fail - another error at @place; false. */
bool reader_fail(struct reader *r, struct syz_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool reader_no_memory(struct reader *r);

/** reader_word - the letters, digits, _ and $ at hand, and the blanks behind them: where they
 * begin. *length 0: none; then nothing is taken. */
const char *reader_word(struct reader *r, size_t *length);
/** reader_number - 0x1f, 31, 0b1, 017. @what it is, for the error. */
bool reader_number(struct reader *r, const char *what, uint64_t *value);
/** reader_data - a string at hand, which begins with a quote, and /SIZE. */
bool reader_data(struct reader *r, struct syz_arg *arg);

#endif
