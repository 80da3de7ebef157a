/* SPDX-License-Identifier: MIT */
/*
 * bits.c - the describer's engine: rows to fields, fields in order.
 *
 * What a bit means is data: rows of {bits, levels, conditions, sentence} in
 * bits_entry.c and bits_code.c, and core's layouts in bits_spte.c. The engine
 * takes the first row that applies to a bit; whatever is left over gets a name
 * from the describer ("ignored", "reserved"), so that no set bit goes unsaid.
 *
 * Which bits are reserved is not repeated here: core's mode_bind() says that,
 * the tables only say why.
 */
#include "cli/bits.h"
#include "cli/bits_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bits_defaults(struct bits_request *request, bool amd)
{
	*request = (struct bits_request){
		.level = 1,
		.generation = 2,
		.amd = amd,
		.maxphyaddr = amd ? 48 : 46,
		.flags = MODE_NX | MODE_PSE | MODE_PSE36 | MODE_1G | MODE_2M | MODE_AD |
			 MODE_EXECONLY | MODE_WP | (amd ? MODE_BIT8_MBZ : MODE_ADVINFO),
		.ept_level5 = true,
	};
}

const struct format *bits_format(const struct bits_request *request)
{
	switch (request->kind) {
	case BITS_EPT: return request->mode == BITS_MODE_5 ? &format_ept5 : &format_ept4;
	case BITS_PTE:
	case BITS_NPT:
		switch (request->mode) {
		case BITS_MODE_32: return &format_32;
		case BITS_MODE_PAE: return &format_pae;
		case BITS_MODE_5: return &format_5;
		default: return &format_4;
		}
	default: return NULL;
	}
}

unsigned bits_width(const struct bits_request *request)
{
	const struct format *format = bits_format(request);

	if (request->kind == BITS_ROLE || (format && format->entry_bytes == 4))
		return 32;
	return 64;
}

unsigned bits_top(const struct bits_request *request)
{
	const struct format *format = bits_format(request);

	if (request->kind == BITS_SPTE)
		return request->mode == BITS_MODE_PAE ? 3 : 5;
	return format ? format->top : 0;
}

bool bits_mode_fits(enum bits_kind kind, enum bits_mode mode)
{
	switch (kind) {
	case BITS_PTE:
	case BITS_NPT:
	case BITS_CR3: return mode <= BITS_MODE_5;
	case BITS_EPT: return mode == BITS_MODE_AUTO || mode == BITS_MODE_4 || mode == BITS_MODE_5;
	case BITS_SPTE:
		return mode == BITS_MODE_AUTO || mode == BITS_MODE_PAE || mode >= BITS_MODE_EPT;
	default: return mode == BITS_MODE_AUTO;
	}
}

static struct bits_field *new_field(struct bits_writer *w, unsigned high, unsigned low,
				    const char *name)
{
	struct bits_report *report = w->report;
	struct bits_field *field;

	/* Each field covers a bit of its own, or is one of a few that show 0. */
	if (report->field_count == BITS_FIELD_MAX)
		return NULL;
	field = &report->field[report->field_count++];
	*field = (struct bits_field){
		.name = name,
		.high = (uint8_t)high,
		.low = (uint8_t)low,
		.value = (w->value & bits_mask(high, low)) >> low,
	};
	w->covered |= bits_mask(high, low);
	return field;
}

void bits_add(struct bits_writer *w, unsigned high, unsigned low, const char *name,
	      const char *format, ...)
{
	struct bits_field *field = new_field(w, high, low, name);
	va_list args;

	if (!field)
		return;
	va_start(args, format);
	vsnprintf(field->meaning, sizeof(field->meaning), format, args);
	va_end(args);
}

void bits_address(struct bits_writer *w, uint64_t mask, const char *name, const char *text)
{
	struct bits_field *field;

	if (!mask)
		return;
	field = new_field(w, 63 - (unsigned)__builtin_clzll(mask), (unsigned)__builtin_ctzll(mask),
			  name);
	if (!field)
		return;
	field->value = w->value & mask;
	snprintf(field->meaning, sizeof(field->meaning), "%s", text);
}

static bool applies(const struct bits_writer *w, const struct bits_row *row)
{
	if (row->levels && !(row->levels & FORMAT_L(w->report->level)))
		return false;
	return (w->conditions & row->when) == row->when && !(w->conditions & row->unless) &&
	       !(w->covered & bits_mask(row->high, row->low));
}

void bits_rows(struct bits_writer *w, const struct bits_row *rows)
{
	for (const struct bits_row *row = rows; row->name; row++) {
		uint64_t value = (w->value & bits_mask(row->high, row->low)) >> row->low;

		if (!applies(w, row) || (!value && !row->clear))
			continue;
		if (row->values)
			bits_add(w, row->high, row->low, row->name, "%s%s", row->text,
				 row->values[value]);
		else
			bits_add(w, row->high, row->low, row->name, "%s",
				 value ? row->text : row->clear);
	}
}

void bits_rest(struct bits_writer *w, uint64_t mask, const char *name, const char *text)
{
	uint64_t rest = w->value & mask & ~w->covered;

	while (rest) {
		unsigned low = (unsigned)__builtin_ctzll(rest);
		unsigned high = low;

		while (high < 63 && (rest >> (high + 1) & 1))
			high++;
		bits_add(w, high, low, name, "%s", text);
		rest &= ~bits_mask(high, low);
	}
}

void bits_find(struct bits_writer *w, const char *rule, const char *format, ...)
{
	struct bits_report *report = w->report;
	struct bits_finding *finding;
	va_list args;

	if (report->finding_count == BITS_FINDING_MAX)
		return;
	finding = &report->finding[report->finding_count++];
	finding->rule = rule;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

const char *bits_list(uint64_t mask, char *text, unsigned size)
{
	unsigned used;

	used = (unsigned)snprintf(text, size, __builtin_popcountll(mask) > 1 ? "bits" : "bit");
	while (mask && used < size) {
		unsigned high = 63 - (unsigned)__builtin_clzll(mask), low = high;

		while (low && (mask >> (low - 1) & 1))
			low--;
		mask &= ~bits_mask(high, low);
		if (high > low)
			used += (unsigned)snprintf(text + used, size - used, " %u:%u%s", high, low,
						   mask ? "," : "");
		else
			used += (unsigned)snprintf(text + used, size - used, " %u%s", high,
						   mask ? "," : "");
	}
	return text;
}

void bits_summary(struct bits_writer *w, const char *format, ...)
{
	size_t used = strlen(w->report->summary);
	va_list args;

	va_start(args, format);
	vsnprintf(w->report->summary + used, sizeof(w->report->summary) - used, format, args);
	va_end(args);
}

const char *bits_page(const struct mode *mode, unsigned level)
{
	switch (mode->format->level[level].shift) {
	case 12: return "4K";
	case 21: return "2M";
	case 22: return "4M";
	case 30: return "1G";
	default: return "large";
	}
}

static int by_bit(const void *left, const void *right)
{
	const struct bits_field *a = left, *b = right;

	return a->low < b->low ? -1 : a->low > b->low;
}

void bits_describe(const struct bits_request *request, uint64_t value, struct bits_report *report)
{
	struct bits_writer w = {
		.request = request,
		.report = report,
		.value = value,
		.conditions = request->flags,
	};

	report->level = 0;
	report->summary[0] = 0;
	report->field_count = report->finding_count = 0;
	if (bits_top(request)) {
		report->level = request->level ? request->level : 1;
		if (report->level > bits_top(request))
			report->level = bits_top(request);
	}
	switch (request->kind) {
	case BITS_SPTE: bits_spte(&w); break;
	case BITS_PTE:
	case BITS_EPT:
	case BITS_NPT: bits_entry(&w); break;
	case BITS_CR3:
	case BITS_EPTP: bits_register(&w); break;
	default: bits_code(&w); break;
	}
	qsort(report->field, report->field_count, sizeof(*report->field), by_bit);
}
