/* SPDX-License-Identifier: MIT */
/*
 * options.c - words of the form name=value.
 */
#include "hv/options.h"
#include "hv/console.h"
#include "hv/text.h"

#define WORD_MAX 80
#define AROUND 32

/* Index of @value among @count @names; @count when it is none of them. */
static unsigned one_of(const char *value, const char *const *names, unsigned count)
{
	unsigned i = 0;

	while (i < count && !text_equal(value, names[i]))
		i++;
	return i;
}

static bool take_mmu(struct options *options, const char *value)
{
	static const char *const names[] = {"tdp", "shadow"};
	unsigned which = one_of(value, names, 2);

	options->shadow = which == 1;
	return which < 2;
}

static bool take_memory(struct options *options, const char *value)
{
	return text_number(value, &options->memory) && options->memory;
}

static bool take_page(struct options *options, const char *value)
{
	static const char *const names[] = {"4k", "2m", "1g"};
	unsigned which = one_of(value, names, 3);

	options->page_level = (uint8_t)(which + 1);
	return which < 3;
}

static bool take_around(struct options *options, const char *value)
{
	uint64_t pages;

	if (!text_number(value, &pages) || !pages || pages > 512 || pages & (pages - 1))
		return false;
	options->around = (unsigned)pages;
	return true;
}

static bool take_flag(bool *flag, const char *value)
{
	*flag = value[0] == '1';
	return text_equal(value, "0") || text_equal(value, "1");
}

static bool take_prefault(struct options *options, const char *value)
{
	return take_flag(&options->prefault, value);
}

static bool take_stats(struct options *options, const char *value)
{
	return take_flag(&options->stats, value);
}

static bool take_hypercalls(struct options *options, const char *value)
{
	return take_flag(&options->hypercalls, value);
}

static bool take_audit(struct options *options, const char *value)
{
	static const char *const names[] = {"off", "end"};
	unsigned which = one_of(value, names, 2);

	options->audit = which == 1;
	return which < 2;
}

static bool take_trace(struct options *options, const char *value)
{
	static const char *const names[] = {"off", "faults", "tables", "all"};
	unsigned which = one_of(value, names, 4);

	options->trace = (uint8_t)which;
	return which < 4;
}

static const struct {
	const char *name, *values;
	bool (*take)(struct options *options, const char *value);
} known[] = {
	{"mmu", "tdp or shadow", take_mmu},
	{"mem", "a size such as 64M", take_memory},
	{"page", "4k, 2m or 1g", take_page},
	{"around", "a power of 2, 1 to 512", take_around},
	{"prefault", "0 or 1", take_prefault},
	{"stats", "0 or 1", take_stats},
	{"audit", "off or end", take_audit},
	{"trace", "off, faults, tables or all", take_trace},
	{"hypercalls", "0 or 1", take_hypercalls}, /* see hypercall.h */
};

static void take_word(struct options *options, char *word)
{
	char *value = word;

	while (*value && *value != '=')
		value++;
	if (*value)
		*value++ = 0;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!text_equal(word, known[i].name))
			continue;
		if (known[i].take(options, value))
			return;
		console_stop(CONSOLE_CANNOT_START, "option %s: '%s' is not %s", word, value,
			     known[i].values);
	}
	console_stop(CONSOLE_CANNOT_START,
		     "unknown option '%s'; there are mmu, mem, page, around, prefault, stats, "
		     "audit, trace, hypercalls",
		     word);
}

void options_parse(struct options *options, const char *line, bool named)
{
	char word[WORD_MAX];

	*options = (struct options){.page_level = 3, .around = AROUND};
	while (*line) {
		unsigned length = 0;

		while (*line == ' ')
			line++;
		while (*line && *line != ' ') {
			if (length < WORD_MAX - 1)
				word[length++] = *line;
			line++;
		}
		word[length] = 0;
		if (length && !named)
			take_word(options, word);
		named = false;
	}
	if (options->shadow && options->prefault)
		console_stop(CONSOLE_CANNOT_START, "option prefault: only with mmu=tdp");
}
