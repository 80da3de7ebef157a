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

/* Room for a text of up to BITS_TEXT bytes. */
static char *new_text(struct bits_report *report)
{
	if (report->room_used + BITS_TEXT > sizeof(report->room))
		report->room_used = 0; /* never: there are fewer texts than that */
	return report->room + report->room_used;
}

static const char *keep_text(struct bits_report *report, char *text)
{
	report->room_used += (unsigned)strlen(text) + 1;
	return text;
}

void bits_name(struct bits_writer *w, unsigned high, unsigned low, const char *name,
	       const char *text)
{
	struct bits_report *report = w->report;
	unsigned i = report->field_count;

	/* Each field covers a bit of its own, or is one of a few that show 0. */
	if (i == BITS_FIELD_MAX)
		return;
	report->field_count++;
	for (; i && report->field[i - 1].low > low; i--)
		report->field[i] = report->field[i - 1];
	report->field[i] = (struct bits_field){
		.name = name,
		.meaning = text,
		.high = (uint8_t)high,
		.low = (uint8_t)low,
		.value = (w->value & bits_mask(high, low)) >> low,
	};
	w->covered |= bits_mask(high, low);
}

void bits_add(struct bits_writer *w, unsigned high, unsigned low, const char *name,
	      const char *format, ...)
{
	char *text = new_text(w->report);
	va_list args;

	va_start(args, format);
	vsnprintf(text, BITS_TEXT, format, args);
	va_end(args);
	bits_name(w, high, low, name, keep_text(w->report, text));
}

void bits_address(struct bits_writer *w, uint64_t mask, const char *name, const char *text)
{
	struct bits_report *report = w->report;
	unsigned high, low;

	if (!mask)
		return;
	high = 63 - (unsigned)__builtin_clzll(mask);
	low = (unsigned)__builtin_ctzll(mask);
	bits_name(w, high, low, name, text);
	for (unsigned i = 0; i < report->field_count; i++) {
		struct bits_field *field = &report->field[i];

		if (field->name == name && field->low == low)
			field->value = w->value & mask;
	}
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
			bits_name(w, row->high, row->low, row->name,
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
		bits_name(w, high, low, name, text);
		rest &= ~bits_mask(high, low);
	}
}

void bits_find(struct bits_writer *w, const char *rule, const char *format, ...)
{
	struct bits_report *report = w->report;
	char *text = new_text(report);
	va_list args;

	if (report->finding_count == BITS_FINDING_MAX)
		return;
	va_start(args, format);
	vsnprintf(text, BITS_TEXT, format, args);
	va_end(args);
	report->finding[report->finding_count++] = (struct bits_finding){
		.rule = rule,
		.text = keep_text(report, text),
	};
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

void bits_say(struct bits_writer *w, const char *text)
{
	struct bits_report *report = w->report;

	while (*text && report->summary_used < sizeof(report->summary) - 1)
		report->summary[report->summary_used++] = *text++;
	report->summary[report->summary_used] = 0;
}

void bits_say_hex(struct bits_writer *w, const char *text, uint64_t value)
{
	char digits[20], *p = digits + sizeof(digits) - 1;

	*p = 0;
	do {
		*--p = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	*--p = 'x';
	*--p = '0';
	bits_say(w, text);
	bits_say(w, p);
}

void bits_summary(struct bits_writer *w, const char *format, ...)
{
	char text[BITS_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bits_say(w, text);
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

uint32_t bits_flags(const struct bits_request *request)
{
	uint32_t flags = request->flags;

	if (request->kind == BITS_NPT)
		flags |= MODE_NPT | MODE_PDPTE_MEMORY;
	if (request->amd)
		flags |= MODE_PDPTE_MEMORY;
	return flags;
}

void bits_bind(struct bits_bound *bound, const struct bits_request *request)
{
	const struct format *format = bits_format(request);

	bound->request = *request;
	if (request->kind == BITS_SPTE)
		bits_spte_bind(bound);
	else if (format)
		mode_bind(&bound->mode, format, bits_flags(request), request->maxphyaddr);
}

void bits_explain(const struct bits_bound *bound, uint64_t value, struct bits_report *report)
{
	const struct bits_request *request = &bound->request;
	const unsigned top = bits_top(request);
	struct bits_writer w = {
		.bound = bound,
		.request = request,
		.report = report,
		.value = value,
		.conditions = request->flags,
	};

	report->level = 0;
	report->summary[0] = 0;
	report->field_count = report->finding_count = 0;
	report->summary_used = report->room_used = 0;
	if (top) {
		report->level = request->level ? request->level : 1;
		if (report->level > top)
			report->level = top;
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
}

void bits_describe(const struct bits_request *request, uint64_t value, struct bits_report *report)
{
	struct bits_bound bound;

	bits_bind(&bound, request);
	bits_explain(&bound, value, report);
}
