/* SPDX-License-Identifier: MIT */
/*
 * values.c - the pure parsers of args.h: numbers, sizes, symbols, key lists.
 *
 * Each reads any NUL-terminated bytes, touches nothing but its out-parameters,
 * and on failure leaves the value alone and writes one sentence: what was
 * found, what was expected.
 */
#include "cli/args.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Longest piece of the user's text to repeat in an error. */
#define SHOW 40
/* Longest value of one key in a key list. */
#define VALUE_SIZE 256

static bool say(char *error, size_t size, const char *text, size_t length, const char *expected)
{
	snprintf(error, size, "'%.*s'%s is not %s", (int)(length < SHOW ? length : SHOW), text,
		 length > SHOW ? "..." : "", expected);
	return false;
}

static int digit(char c, unsigned base)
{
	int d = -1;

	if (c >= '0' && c <= '9')
		d = c - '0';
	else if (c >= 'a' && c <= 'f')
		d = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		d = c - 'A' + 10;
	return d < (int)base ? d : -1;
}

/*
 * The number in text[0..length). ` and _ may separate hexadecimal digits, as
 * debuggers print addresses.
 */
static bool parse_number(const char *text, size_t length, uint64_t *value)
{
	unsigned base = 10;
	uint64_t v = 0;
	size_t i = 0;

	if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		i = 2;
	} else if (length > 1 && text[0] == '0') {
		return false;
	}
	if (i == length)
		return false;
	for (bool separated = true; i < length; i++) {
		int d = digit(text[i], base);

		if (base == 16 && !separated && i + 1 < length &&
		    (text[i] == '_' || text[i] == '`')) {
			separated = true;
			continue;
		}
		separated = false;
		if (d < 0 || v > (UINT64_MAX - (unsigned)d) / base)
			return false;
		v = v * base + (unsigned)d;
	}
	*value = v;
	return true;
}

bool args_number(const char *text, uint64_t *value, char *error, size_t error_size)
{
	if (parse_number(text, strlen(text), value))
		return true;
	return say(error, error_size, text, strlen(text),
		   "a number (decimal or 0x..., up to 64 bits)");
}

bool args_size(const char *text, uint64_t *value, char *error, size_t error_size)
{
	static const char units[] = "kmgt";
	size_t length = strlen(text);
	unsigned shift = 0;
	uint64_t v;

	if (length > 1) {
		char last = text[length - 1];
		const char *unit = strchr(units, last >= 'A' && last <= 'Z' ? last + 32 : last);

		if (unit)
			shift = 10 * (unsigned)(unit - units + 1);
	}
	if (!parse_number(text, length - (shift ? 1 : 0), &v) || v > UINT64_MAX >> shift)
		return say(error, error_size, text, length,
			   "a size (a number, perhaps with K, M, G or T)");
	*value = v << shift;
	return true;
}

bool args_range(const char *text, uint64_t value, uint64_t min, uint64_t max, char *error,
		size_t error_size)
{
	if (value >= min && (!max || value <= max))
		return true;
	if (max)
		snprintf(error, error_size, "'%.*s' is not in %" PRIu64 "..%" PRIu64, SHOW, text,
			 min, max);
	else
		snprintf(error, error_size, "'%.*s' is less than %" PRIu64, SHOW, text, min);
	return false;
}

static bool symbol(const struct args_symbol *table, const char *text, size_t length,
		   uint64_t *value)
{
	for (; table->name; table++) {
		if (strlen(table->name) == length && !memcmp(table->name, text, length)) {
			*value = table->value;
			return true;
		}
	}
	return false;
}

/* "'x' is none of a, b, c" */
static bool none_of(char *error, size_t size, const char *text, size_t length,
		    const struct args_symbol *table)
{
	int n = snprintf(error, size, "'%.*s'%s is none of", (int)(length < SHOW ? length : SHOW),
			 text, length > SHOW ? "..." : "");

	for (const char *comma = ""; table->name; table++, comma = ",") {
		if (n < 0 || (size_t)n >= size)
			break;
		n += snprintf(error + n, size - (size_t)n, "%s %s", comma, table->name);
	}
	return false;
}

bool args_symbols(const char *text, const struct args_symbol *table, uint64_t *value, char *error,
		  size_t error_size)
{
	bool relative = text[0] == '+' || text[0] == '-';
	uint64_t v = relative ? *value : 0;
	const char *p = text;

	for (;;) {
		size_t length = strcspn(p, ",|");
		const char *name = p + relative;
		uint64_t bits;

		if (relative && *p != '+' && *p != '-') {
			snprintf(error, error_size,
				 "'%.*s' needs a + or - in front, like the items before it",
				 (int)(length < SHOW ? length : SHOW), p);
			return false;
		}
		if (!symbol(table, name, length - relative, &bits) &&
		    !parse_number(name, length - relative, &bits))
			return none_of(error, error_size, name, length - relative, table);
		v = relative && *p == '-' ? v & ~bits : v | bits;
		if (!p[length])
			break;
		p += length + 1;
	}
	*value = v;
	return true;
}

bool args_choice(const char *text, const struct args_symbol *table, uint64_t *value, char *error,
		 size_t error_size)
{
	if (symbol(table, text, strlen(text), value))
		return true;
	return none_of(error, error_size, text, strlen(text), table);
}

bool args_bool(const char *text, bool *value, char *error, size_t error_size)
{
	static const struct args_symbol names[] = {
		{"0", 0},  {"1", 1},     {"no", 0},   {"yes", 1}, {"off", 0},
		{"on", 1}, {"false", 0}, {"true", 1}, {NULL, 0},
	};
	uint64_t v;

	if (!args_choice(text, names, &v, error, error_size))
		return false;
	*value = v;
	return true;
}

/* ---- key=value lists ---- */

static bool key_value(const struct args_key *key, const char *text, uint64_t *value, char *error,
		      size_t size)
{
	bool ok = false, truth = false;
	uint64_t v = *value;

	switch (key->kind) {
	case ARGS_NUMBER: ok = args_number(text, &v, error, size); break;
	case ARGS_SIZE: ok = args_size(text, &v, error, size); break;
	case ARGS_SYMBOLS: ok = args_symbols(text, key->symbols, &v, error, size); break;
	case ARGS_CHOICE: ok = args_choice(text, key->symbols, &v, error, size); break;
	default:
		ok = args_bool(text, &truth, error, size);
		v = truth;
		break;
	}
	if (ok && (key->kind == ARGS_NUMBER || key->kind == ARGS_SIZE))
		ok = args_range(text, v, key->min, key->max, error, size);
	if (ok)
		*value = v;
	return ok;
}

static bool unknown_key(char *error, size_t size, const char *text, size_t length,
			const struct args_key *keys, unsigned count)
{
	int n = snprintf(error, size, "unknown key '%.*s', expected one of",
			 (int)(length < SHOW ? length : SHOW), text);

	for (unsigned i = 0; i < count; i++) {
		if (n < 0 || (size_t)n >= size)
			break;
		n += snprintf(error + n, size - (size_t)n, "%s %s", i ? "," : "", keys[i].name);
	}
	return false;
}

/* Length of the item at @p: up to the comma before the next "key=", or the end. */
static size_t item_length(const char *p)
{
	size_t length = strcspn(p, ",");

	while (p[length] == ',') {
		const char *next = p + length + 1;
		size_t word = strcspn(next, ",=");

		if (next[word] == '=')
			break;
		length += 1 + word;
	}
	return length;
}

bool args_config(const char *text, const struct args_key *keys, unsigned key_count,
		 struct args_value *values, char *error, size_t error_size)
{
	struct args_value result[ARGS_KEY_MAX];
	uint64_t seen = 0;
	const char *p = text;

	if (key_count > ARGS_KEY_MAX) {
		snprintf(error, error_size, "more than %d keys", ARGS_KEY_MAX);
		return false;
	}
	memcpy(result, values, key_count * sizeof(*values));
	for (;;) {
		size_t length = item_length(p), name = strcspn(p, ",=");
		char value[VALUE_SIZE], why[VALUE_SIZE];
		unsigned k = 0;

		if (p[name] != '=')
			return say(error, error_size, p, name, "KEY=VALUE");
		while (k < key_count &&
		       (strlen(keys[k].name) != name || memcmp(keys[k].name, p, name)))
			k++;
		if (k == key_count)
			return unknown_key(error, error_size, p, name, keys, key_count);
		if (seen & 1ull << k) {
			snprintf(error, error_size, "%s is given twice", keys[k].name);
			return false;
		}
		seen |= 1ull << k;
		if (length - name > sizeof(value)) {
			snprintf(error, error_size, "%s: the value is longer than %d bytes",
				 keys[k].name, VALUE_SIZE - 1);
			return false;
		}
		snprintf(value, sizeof(value), "%.*s", (int)(length - name - 1), p + name + 1);
		if (!key_value(&keys[k], value, &result[k].number, why, sizeof(why))) {
			snprintf(error, error_size, "%s=%s", keys[k].name, why);
			return false;
		}
		result[k].given = true;
		if (!p[length])
			break;
		p += length + 1;
	}
	memcpy(values, result, key_count * sizeof(*values));
	return true;
}

/* ---- guesses ---- */

/* Edits that turn @a into @b, at most 3: more is 3. */
static unsigned edits(const char *a, const char *b, unsigned budget)
{
	while (*a && *a == *b)
		a++, b++;
	if (!*a && !*b)
		return 0;
	if (!budget)
		return 1;

	unsigned best = budget;
	unsigned n = *a && *b ? edits(a + 1, b + 1, budget - 1) : budget;

	best = n < best ? n : best;
	n = *a ? edits(a + 1, b, budget - 1) : budget;
	best = n < best ? n : best;
	n = *b ? edits(a, b + 1, budget - 1) : budget;
	best = n < best ? n : best;
	return best + 1;
}

const char *args_similar(const char *text, const char *const *names, unsigned count)
{
	const char *best = NULL;
	unsigned distance = 3;

	for (unsigned i = 0; i < count; i++) {
		unsigned d = edits(text, names[i], 2);

		if (d < distance && d < strlen(names[i])) {
			distance = d;
			best = names[i];
		}
	}
	return best;
}
