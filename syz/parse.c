/* SPDX-License-Identifier: MIT */
/*
 * parse.c - calls and their arguments: a program's grammar, by recursive descent.
 *
 *	line   [rN =] NAME ( [ARG, ...] ) [( PROPERTY [: N], ... )] [# comment]
 *	ARG    [<rN=>] VALUE
 *	VALUE  0x10 | rN[/N][+N] | AUTO | nil | 'text' "hex" "$base64" [/N]
 *	       | {ARG, ...} | [ARG, ...] | @NAME[=ARG]
 *	       | &(ADDRESS[+N|-N][/N])[=[ANY=]ARG] | &AUTO[=[ANY=]ARG]
 *
 * Invariant: a result is used only behind the call that gives it, so that whoever runs the
 * program from top to bottom finds a value.
 */
#include <stdlib.h>
#include <string.h>

#include "syz/parts.h"

/* The arena's first piece: the program goes with it. */
struct whole {
	struct syz_program program;
	struct arena arena;
};

static bool parse_arg(struct reader *r, unsigned depth, struct syz_arg **arg);

static bool word_is(const char *word, size_t length, const char *wanted)
{
	return length == strlen(wanted) && !memcmp(word, wanted, length);
}

/* Looks at the word at hand without taking it. */
static bool at_word(struct reader *r, const char *wanted)
{
	const size_t start = r->at;
	size_t length;
	const char *word = reader_word(r, &length);

	r->at = start;
	return word_is(word, length, wanted);
}

static bool take(struct reader *r, char c, const char *what)
{
	if (reader_peek(r) != c)
		return reader_expected(r, what);
	r->at++;
	reader_skip_blanks(r);
	return true;
}

static const char *keep(struct reader *r, const char *word, size_t length)
{
	char *copy = arena_take(r->arena, length + 1);

	if (!copy)
		reader_no_memory(r);
	else
		memcpy(copy, word, length);
	return copy;
}

/* ---- results ---- */

/* "r12" to 12; -1: not the name of a result. */
static int32_t result_of(const char *word, size_t length)
{
	int32_t number = 0;

	if (length < 2 || length > 6 || word[0] != 'r')
		return -1;
	for (size_t i = 1; i < length; i++) {
		if (word[i] < '0' || word[i] > '9')
			return -1;
		number = number * 10 + (word[i] - '0');
	}
	return number;
}

static bool result_name(struct reader *r, const char *what, int32_t *number)
{
	const struct syz_place place = reader_place(r);
	const size_t start = r->at;
	size_t length;
	const char *word = reader_word(r, &length);

	*number = result_of(word, length);
	if (*number < 0) {
		r->at = start;
		return reader_expected(r, what);
	}
	if (*number >= (int32_t)SYZ_RESULT_MAX)
		return reader_fail(r, place, "expected a result from r0 to r%u, found 'r%d'",
				   SYZ_RESULT_MAX - 1, *number);
	if (r->program->result_count <= (unsigned)*number)
		r->program->result_count = (unsigned)*number + 1;
	return true;
}

/* r3, r3/0x2, r3+0x10, r3/0x2+0x10 */
static bool parse_result(struct reader *r, struct syz_arg *arg)
{
	int32_t number;

	if (!result_name(r, "a result, rN", &number))
		return false;
	if (!r->defined[number])
		return reader_fail(r, arg->place, "r%d is used, but no call before gives it",
				   number);
	arg->kind = SYZ_RESULT;
	arg->value = (uint64_t)number;
	if (reader_peek(r) == '/') {
		r->at++;
		reader_skip_blanks(r);
		if (!reader_number(r, "a number to divide by", &arg->divide))
			return false;
		if (!arg->divide)
			return reader_fail(r, arg->place, "r%d is divided by 0", number);
	}
	if (reader_peek(r) == '+') {
		r->at++;
		reader_skip_blanks(r);
		return reader_number(r, "a number to add", &arg->add);
	}
	return true;
}

/* ---- pointers ---- */

/* (0x7f0000000000), (0x7f0000000000+0x40), (0x7f0000000000/0x1000) */
static bool parse_address(struct reader *r, struct syz_arg *arg)
{
	char sign;

	if (!take(r, '(', "( before an address") || !reader_number(r, "an address", &arg->value))
		return false;
	sign = reader_peek(r);
	if (sign == '+' || sign == '-') {
		uint64_t by = 0;

		r->at++;
		reader_skip_blanks(r);
		if (!reader_number(r, "an offset", &by))
			return false;
		arg->value += sign == '+' ? by : -by;
	}
	if (reader_peek(r) == '/') {
		r->at++;
		reader_skip_blanks(r);
		arg->kind = SYZ_RANGE;
		if (!reader_number(r, "a size in bytes", &arg->size))
			return false;
	}
	return take(r, ')', "+, -, / or ) after an address");
}

static bool parse_pointer(struct reader *r, unsigned depth, struct syz_arg *arg)
{
	size_t length;

	arg->kind = SYZ_POINTER;
	if (reader_peek(r) == '&')
		take(r, '&', "&");
	if (at_word(r, "AUTO")) {
		reader_word(r, &length);
		arg->automatic = true;
	} else if (!parse_address(r, arg)) {
		return false;
	}
	if (reader_peek(r) != '=')
		return true;
	take(r, '=', "=");
	if (at_word(r, "ANY")) {
		reader_word(r, &length);
		arg->any = true;
		if (!take(r, '=', "= after ANY"))
			return false;
	}
	if (at_word(r, "nil")) {
		reader_word(r, &length);
		arg->kind = SYZ_RANGE;
		return true;
	}
	if (arg->kind == SYZ_RANGE)
		return reader_expected(r, "nil after a range of addresses");
	return parse_arg(r, depth, &arg->below);
}

/* ---- arguments ---- */

static bool parse_list(struct reader *r, unsigned depth, char end, struct syz_arg **list,
		       unsigned *count)
{
	const char *what = end == ')'   ? "an argument or )"
			   : end == '}' ? "a field or }"
					: "an element or ]";

	*count = 0;
	while (reader_peek(r) != end) {
		if (*count && !take(r, ',',
				    end == ')'   ? ", or )"
				    : end == '}' ? ", or }"
						 : ", or ]"))
			return false;
		if (!reader_peek(r) || strchr(")}],", reader_peek(r)))
			return reader_expected(r, what);
		if (!parse_arg(r, depth, list))
			return false;
		list = &(*list)->next;
		++*count;
	}
	return take(r, end, what);
}

static bool parse_union(struct reader *r, unsigned depth, struct syz_arg *arg)
{
	const char *word;
	size_t length;

	arg->kind = SYZ_UNION;
	take(r, '@', "@");
	word = reader_word(r, &length);
	if (!length)
		return reader_expected(r, "the name of a union's field after @");
	arg->name = keep(r, word, length);
	if (!arg->name)
		return false;
	if (reader_peek(r) != '=')
		return true;
	take(r, '=', "=");
	return parse_arg(r, depth, &arg->below);
}

static bool parse_word(struct reader *r, struct syz_arg *arg)
{
	const size_t start = r->at;
	size_t length;
	const char *word = reader_word(r, &length);

	if (word_is(word, length, "nil")) {
		arg->kind = SYZ_NIL;
		return true;
	}
	if (word_is(word, length, "AUTO")) {
		arg->kind = SYZ_AUTO;
		return true;
	}
	r->at = start;
	if (result_of(word, length) >= 0)
		return parse_result(r, arg);
	return reader_expected(r, "an argument: number, rN, &(address), {}, [], @field, "
				  "a string, nil or AUTO");
}

static bool parse_value(struct reader *r, unsigned depth, struct syz_arg *arg)
{
	char c = reader_peek(r);
	unsigned count;

	switch (c) {
	case '&':
	case '(': return parse_pointer(r, depth, arg);
	case '{':
	case '[':
		arg->kind = c == '{' ? SYZ_STRUCT : SYZ_ARRAY;
		take(r, c, "{ or [");
		return parse_list(r, depth, c == '{' ? '}' : ']', &arg->below, &count);
	case '@': return parse_union(r, depth, arg);
	case '\'':
	case '"': return reader_data(r, arg);
	default: break;
	}
	if (c >= '0' && c <= '9') {
		arg->kind = SYZ_NUMBER;
		return reader_number(r, "a number", &arg->value);
	}
	return parse_word(r, arg);
}

static bool parse_arg(struct reader *r, unsigned depth, struct syz_arg **to)
{
	struct syz_arg *arg = arena_take(r->arena, sizeof(*arg));

	if (!arg)
		return reader_no_memory(r);
	arg->place = reader_place(r);
	arg->gives = -1;
	if (!depth)
		return reader_fail(r, arg->place, "arguments are nested deeper than %u",
				   SYZ_DEPTH_MAX);
	if (reader_peek(r) == '<') {
		take(r, '<', "<");
		if (!result_name(r, "a result, rN, after <", &arg->gives) ||
		    !take(r, '=', "= after <rN") || !take(r, '>', "> after <rN="))
			return false;
	}
	if (!parse_value(r, depth - 1, arg))
		return false;
	reader_skip_blanks(r);
	*to = arg;
	return true;
}

/* ---- calls ---- */

/* What the call's arguments give is there for the calls behind it. */
static void define(struct reader *r, const struct syz_arg *arg)
{
	for (; arg; arg = arg->next) {
		if (arg->gives >= 0)
			r->defined[arg->gives] = true;
		define(r, arg->below);
	}
}

static bool parse_property(struct reader *r, struct syz_call *call)
{
	static const char what[] = "a property: async, fail_nth: N or rerun: N";
	const size_t start = r->at;
	size_t length;
	const char *word = reader_word(r, &length);
	uint64_t *number;

	if (word_is(word, length, "async")) {
		call->async = true;
		return true;
	}
	if (word_is(word, length, "fail_nth")) {
		number = &call->fail_nth;
	} else if (word_is(word, length, "rerun")) {
		number = &call->rerun;
	} else {
		r->at = start;
		return reader_expected(r, what);
	}
	return take(r, ':', ": and a number") && reader_number(r, "a number", number);
}

static bool parse_properties(struct reader *r, struct syz_call *call)
{
	while (reader_peek(r) == '(') {
		take(r, '(', "(");
		do {
			if (!parse_property(r, call))
				return false;
		} while (reader_peek(r) == ',' && take(r, ',', ","));
		if (!take(r, ')', ", or ) after a property"))
			return false;
	}
	return true;
}

/* NAME, or rN = NAME. */
static bool parse_name(struct reader *r, struct syz_call *call)
{
	static const char what[] = "a call, NAME(...) or rN = NAME(...)";
	const char *word;
	size_t length;

	call->place = reader_place(r);
	call->gives = -1;
	word = reader_word(r, &length);
	if (!length)
		return reader_expected(r, what);
	if (reader_peek(r) == '=') {
		r->at = (size_t)(word - r->text);
		if (!result_name(r, "a result, rN, before =", &call->gives))
			return false;
		take(r, '=', "=");
		call->place = reader_place(r);
		word = reader_word(r, &length);
		if (!length)
			return reader_expected(r, "the name of a call");
	}
	call->name = keep(r, word, length);
	return call->name;
}

static bool parse_call(struct reader *r, struct syz_call **to)
{
	struct syz_call *call = arena_take(r->arena, sizeof(*call));

	if (!call)
		return reader_no_memory(r);
	if (!parse_name(r, call) || !take(r, '(', "( after the name of a call") ||
	    !parse_list(r, SYZ_DEPTH_MAX, ')', &call->args, &call->arg_count) ||
	    !parse_properties(r, call))
		return false;
	define(r, call->args);
	if (call->gives >= 0)
		r->defined[call->gives] = true;
	r->program->call_count++;
	*to = call;
	return true;
}

static bool parse_lines(struct reader *r)
{
	struct syz_call **to = &r->program->calls;

	for (;;) {
		reader_skip_blanks(r);
		if (reader_peek(r) && reader_peek(r) != '#') {
			if (!parse_call(r, to))
				return false;
			to = &(*to)->next;
		}
		if (reader_peek(r) == '#')
			while (r->at < r->size && r->text[r->at] != '\n')
				r->at++;
		if (r->at == r->size)
			return true;
		if (r->text[r->at] != '\n')
			return reader_expected(r, "the end of the line");
		r->at++;
		r->line++;
		r->line_start = r->at;
	}
}

struct syz_program *syz_parse(const char *text, size_t size, struct syz_error *error)
{
	struct arena arena = {0};
	struct whole *whole = arena_take(&arena, sizeof(*whole));
	struct reader *r = calloc(1, sizeof(*r));
	bool ok = false;

	*error = (struct syz_error){.place = {1, 1}, .text = "memory is short"};
	if (whole && r) {
		*r = (struct reader){.text = text,
				     .size = size,
				     .line = 1,
				     .arena = &arena,
				     .program = &whole->program,
				     .error = error};
		ok = size <= SYZ_TEXT_MAX
			     ? parse_lines(r)
			     : reader_fail(r, (struct syz_place){1, 1},
					   "expected at most %u bytes of text", SYZ_TEXT_MAX);
	}
	free(r);
	if (!ok) {
		arena_free(&arena);
		return NULL;
	}
	whole->arena = arena;
	return &whole->program;
}

void syz_free(struct syz_program *program)
{
	struct arena arena;

	if (!program)
		return;
	arena = ((struct whole *)program)->arena;
	arena_free(&arena);
}
