/* SPDX-License-Identifier: MIT */
/*
 * decode_print.c - reports of `umbra decode` as text, in one line, or as JSON Lines.
 *
 *	kvm_mmu_set_spte: an entry was written           a line of a trace: its event,
 *	          gfn           0x12345  guest-phys...   its numbers,
 *	spte 0x80a0000012345f37 (level 1): 4K leaf ...   and for each value in it, as for
 *	      0  R                    1  reads are ...   any value, the bits,
 *	  ! bit 63 is clear: ...                  the rules that it breaks,
 *	  ? layout 6.12: 4K leaf ...                     and who would not object
 */
#include "cli/args.h"
#include "cli/decode.h"

#include <stdio.h>
#include <string.h>

const struct args_symbol decode_names[] = {
	{"spte", BITS_SPTE},
	{"pte", BITS_PTE},
	{"ept", BITS_EPT},
	{"npt", BITS_NPT},
	{"cr3", BITS_CR3},
	{"eptp", BITS_EPTP},
	{"pfec", BITS_PFEC},
	{"npfcode", BITS_NPFCODE},
	{"eptqual", BITS_EPTQUAL},
	{"role", BITS_ROLE},
	{NULL, 0},
};

/* ---- which configuration ---- */

static struct bits_bound *bound_for(struct decode *d, enum bits_kind kind, bool traced)
{
	/* The text of a role is put together in the newest layout. */
	const unsigned slot = kind == BITS_ROLE && traced ? BITS_KINDS : kind;
	struct bits_request request = d->request;

	if (d->is_bound[slot])
		return &d->bound[slot];
	request.kind = kind;
	if (!bits_mode_fits(kind, request.mode))
		request.mode = BITS_MODE_AUTO;
	if (slot == BITS_KINDS)
		request.generation = ENTRY_GENERATIONS - 1;
	bits_bind(&d->bound[slot], &request);
	d->is_bound[slot] = true;
	return &d->bound[slot];
}

/* Who is asked about an SPTE that breaks a rule, in this order: the same layout with a
 * large page, other layouts of the same family, the other family. */
static const struct bits_bound *other_bound(struct decode *d, const struct bits_bound *bound,
					    unsigned i)
{
	static const uint8_t generations[ENTRY_GENERATIONS] = {2, 0, 1};
	struct bits_bound *other = &d->other_bound[i];

	if (!d->other_is_bound[i]) {
		struct bits_request request = bound->request;

		if (i) {
			const bool same = i <= ENTRY_GENERATIONS;

			request.generation = generations[(i - 1) % ENTRY_GENERATIONS];
			request.mode =
				bound->entries.layout->ept == same ? BITS_MODE_EPT : BITS_MODE_NPT;
		}
		bits_bind(other, &request);
		d->other_is_bound[i] = true;
	}
	other->request.level = i ? bound->request.level : 2;
	return other;
}

/* Another level or layout in which the SPTE breaks no rule; NULL if none. */
static const struct bits_bound *who_likes(struct decode *d, const struct bits_bound *bound,
					  uint64_t value)
{
	if (bound->request.kind != BITS_SPTE || bound->request.mode == BITS_MODE_PAE)
		return NULL;
	for (unsigned i = 0; i < DECODE_OTHERS; i++) {
		const struct bits_bound *other;

		if (i ? d->layout_given : d->level_given || bound->request.level != 1)
			continue;
		other = other_bound(d, bound, i);
		if (!entry_is_present(&other->entries, value))
			continue;
		bits_explain(other, value, &d->other);
		if (!d->other.finding_count)
			return other;
	}
	return NULL;
}

static const char *mode_name(const struct bits_bound *bound)
{
	return bound->entries.layout->ept ? "ept" : "npt";
}

/* ---- text ---- */

static void style(struct decode *d, enum out_style style)
{
	if (d->out.colour)
		text_put(&d->text, out_style(&d->out, style));
}

static void bit_range(char text[8], const struct bits_field *field)
{
	char number[TEXT_NUMBER];
	const char *p = text_decimal(number, field->high);

	while (*p)
		*text++ = *p++;
	if (field->high != field->low) {
		*text++ = ':';
		for (p = text_decimal(number, field->low); *p;)
			*text++ = *p++;
	}
	*text = 0;
}

static void finding_text(struct decode *d, const char *text, const char *rule)
{
	style(d, OUT_RED);
	text_put(&d->text, d->brief ? " ! " : "  ! ");
	text_put(&d->text, text);
	text_put(&d->text, " (");
	text_put(&d->text, rule);
	text_put(&d->text, ")");
	style(d, OUT_PLAIN);
	if (!d->brief)
		text_put(&d->text, "\n");
}

static void field_text(struct decode *d, const struct bits_field *field)
{
	char range[8], number[TEXT_NUMBER];
	const bool dim = !field->value;

	bit_range(range, field);
	if (dim)
		style(d, OUT_DIM);
	text_right(&d->text, range, 7);
	text_put(&d->text, "  ");
	text_left(&d->text, field->name, 15);
	text_put(&d->text, " ");
	text_right(&d->text,
		   field->value > 9 ? text_hex(number, field->value)
				    : text_decimal(number, field->value),
		   14);
	text_put(&d->text, "  ");
	text_put(&d->text, field->meaning);
	if (dim)
		style(d, OUT_PLAIN);
	text_put(&d->text, "\n");
}

static void other_text(struct decode *d, const struct bits_bound *bound,
		       const struct bits_bound *other)
{
	char number[TEXT_NUMBER];

	style(d, OUT_YELLOW);
	text_put(&d->text, "  ? with");
	if (other->request.level != bound->request.level) {
		text_put(&d->text, " --level ");
		text_put(&d->text, text_decimal(number, other->request.level));
	}
	if (other->entries.layout != bound->entries.layout) {
		text_put(&d->text, " --layout ");
		text_put(&d->text, other->entries.layout->generation);
		text_put(&d->text, " --mode ");
		text_put(&d->text, mode_name(other));
	}
	text_put(&d->text, " no rule is broken: ");
	text_put(&d->text, d->other.summary);
	style(d, OUT_PLAIN);
	text_put(&d->text, "\n");
}

static void value_text(struct decode *d, const char *label, const struct bits_bound *bound,
		       uint64_t value)
{
	const struct bits_report *report = &d->report;
	const struct bits_bound *other;
	char number[TEXT_NUMBER];

	if (label) {
		text_put(&d->text, label);
		text_put(&d->text, " ");
	}
	style(d, OUT_BOLD);
	if (!label || strcmp(label, decode_names[bound->request.kind].name) != 0) {
		text_put(&d->text, decode_names[bound->request.kind].name);
		text_put(&d->text, " ");
	}
	text_put(&d->text, text_hex(number, value));
	style(d, OUT_PLAIN);
	if (report->level) {
		text_put(&d->text, " (level ");
		text_put(&d->text, text_decimal(number, report->level));
		text_put(&d->text, ")");
	}
	text_put(&d->text, ": ");
	text_put(&d->text, report->summary);
	for (unsigned i = 0; i < report->field_count && !d->brief; i++) {
		if (!i)
			text_put(&d->text, "\n");
		field_text(d, &report->field[i]);
	}
	if (!report->field_count && !d->brief)
		text_put(&d->text, "\n");
	for (unsigned i = 0; i < report->finding_count; i++)
		finding_text(d, report->finding[i].text, report->finding[i].rule);
	if (d->brief)
		text_put(&d->text, "\n");
	if (report->finding_count && !d->brief && (other = who_likes(d, bound, value)))
		other_text(d, bound, other);
}

/* ---- JSON ---- */

/* Inline, for the lengths of names; these and numbers have nothing to escape. */
static inline void member(struct text *text, const char *before, const char *name)
{
	text_put(text, before);
	text_bytes(text, "\"", 1);
	text_put(text, name);
	text_bytes(text, "\":", 2);
}

static inline void pair(struct text *text, const char *before, const char *name, const char *string)
{
	member(text, before, name);
	text_json(text, string);
}

static inline void plain_pair(struct text *text, const char *before, const char *name,
			      const char *string)
{
	member(text, before, name);
	text_bytes(text, "\"", 1);
	text_put(text, string);
	text_bytes(text, "\"", 1);
}

static void findings_json(struct text *text, const char *before, const char *rule, const char *what)
{
	pair(text, before, "rule", rule);
	pair(text, ",", "text", what);
	text_put(text, "}");
}

/* The members of a value, without braces. */
static void value_json(struct decode *d, const struct bits_bound *bound, uint64_t value)
{
	const struct bits_report *report = &d->report;
	const struct bits_bound *other;
	struct text *text = &d->text;
	char number[TEXT_NUMBER], range[8];

	pair(text, "", "kind", decode_names[bound->request.kind].name);
	plain_pair(text, ",", "value", text_hex(number, value));
	text_put(text, ",\"level\":");
	text_put(text, text_decimal(number, report->level));
	pair(text, ",", "summary", report->summary);
	text_put(text, ",\"fields\":[");
	for (unsigned i = 0; i < report->field_count && !d->brief; i++) {
		const struct bits_field *field = &report->field[i];

		bit_range(range, field);
		pair(text, i ? ",{" : "{", "name", field->name);
		plain_pair(text, ",", "bits", range);
		plain_pair(text, ",", "value", text_hex(number, field->value));
		pair(text, ",", "meaning", field->meaning);
		text_put(text, "}");
	}
	text_put(text, "],\"findings\":[");
	for (unsigned i = 0; i < report->finding_count; i++)
		findings_json(text, i ? ",{" : "{", report->finding[i].rule,
			      report->finding[i].text);
	text_put(text, "]");
	if (!report->finding_count || d->brief || !(other = who_likes(d, bound, value)))
		return;
	text_put(text, ",\"instead\":{\"level\":");
	text_put(text, text_decimal(number, other->request.level));
	pair(text, ",", "layout", other->entries.layout->generation);
	pair(text, ",", "mode", mode_name(other));
	pair(text, ",", "summary", d->other.summary);
	text_put(text, "}");
}

static void begin_json(struct text *text)
{
	char number[TEXT_NUMBER];

	text_put(text, "{\"schema\":");
	text_put(text, text_decimal(number, OUT_SCHEMA));
	text_put(text, ",");
}

/* ---- values and lines ---- */

void decode_value(struct decode *d, enum bits_kind kind, uint64_t value)
{
	struct bits_bound *bound = bound_for(d, kind, false);

	/* A line of a trace may have had others. */
	bound->request.level = d->request.level;
	bound->request.now_given = d->request.now_given;
	bound->request.now = d->request.now;
	bits_explain(bound, value, &d->report);
	d->found |= d->report.finding_count;
	if (d->out.json) {
		begin_json(&d->text);
		value_json(d, bound, value);
		text_put(&d->text, "}\n");
	} else {
		value_text(d, NULL, bound, value);
	}
}

static const struct bits_bound *explain_traced(struct decode *d, const struct trace_value *value)
{
	struct bits_bound *bound = bound_for(d, value->kind, true);

	bound->request.level = value->level ? value->level : d->request.level;
	bound->request.now_given = d->trace.now_given;
	bound->request.now = d->trace.now;
	bits_explain(bound, value->value, &d->report);
	d->found |= d->report.finding_count;
	return bound;
}

static void line_json(struct decode *d, const struct trace_line *line)
{
	const struct trace_report *trace = &d->trace;
	struct text *text = &d->text;
	char number[TEXT_NUMBER];

	begin_json(text);
	pair(text, "", "event", line->name);
	pair(text, ",", "summary", line->sentence);
	if (line->reason[0])
		pair(text, ",", "reason", line->reason);
	text_put(text, ",\"numbers\":[");
	for (unsigned i = 0; i < trace->field_count; i++) {
		const struct trace_field *field = &trace->field[i];

		pair(text, i ? ",{" : "{", "name", field->name);
		plain_pair(text, ",", "value", text_hex(number, field->value));
		pair(text, ",", "meaning", field->meaning);
		text_put(text, "}");
	}
	text_put(text, "],\"values\":[");
	for (unsigned i = 0; i < trace->value_count; i++) {
		const struct bits_bound *bound = explain_traced(d, &trace->value[i]);

		pair(text, i ? ",{" : "{", "label", trace->value[i].label);
		text_put(text, ",");
		value_json(d, bound, trace->value[i].value);
		text_put(text, "}");
	}
	text_put(text, "]");
	if (trace->change[0])
		pair(text, ",", "change", trace->change);
	text_put(text, ",\"findings\":[");
	for (unsigned i = 0; i < trace->finding_count; i++)
		findings_json(text, i ? ",{" : "{", trace->finding[i].rule, trace->finding[i].text);
	text_put(text, "]}\n");
}

/* errno is negative. */
static const char *field_number(char number[TEXT_NUMBER], const struct trace_field *field)
{
	char *p;

	if (!field->decimal)
		return text_hex(number, field->value);
	if (!(field->value >> 63))
		return text_decimal(number, field->value);
	p = text_decimal(number, -field->value);
	*--p = '-';
	return p;
}

static void line_text(struct decode *d, const struct trace_line *line)
{
	const struct trace_report *trace = &d->trace;
	struct text *text = &d->text;
	char number[TEXT_NUMBER];

	style(d, OUT_BOLD);
	text_put(text, line->name);
	style(d, OUT_PLAIN);
	text_put(text, ": ");
	text_put(text, *line->sentence ? line->sentence : "nothing in it to decode");
	if (line->reason[0]) {
		text_put(text, ", reason ");
		text_put(text, line->reason);
	}
	text_put(text, "\n");
	for (unsigned i = 0; i < trace->field_count && !d->brief; i++) {
		const struct trace_field *field = &trace->field[i];

		text_put(text, "         ");
		text_left(text, field->name, 11);
		text_right(text, field_number(number, field), 18);
		text_put(text, *field->meaning ? "  " : "");
		text_put(text, field->meaning);
		text_put(text, "\n");
	}
	for (unsigned i = 0; i < trace->value_count; i++) {
		const struct bits_bound *bound = explain_traced(d, &trace->value[i]);

		value_text(d, trace->value[i].label, bound, trace->value[i].value);
	}
	if (trace->change[0]) {
		text_put(text, "old to new: ");
		text_put(text, trace->change);
		text_put(text, "\n");
	}
	for (unsigned i = 0; i < trace->finding_count; i++)
		finding_text(d, trace->finding[i].text, trace->finding[i].rule);
	if (trace->finding_count && d->brief)
		text_put(text, "\n");
}

void decode_line(struct decode *d, const struct trace_line *line)
{
	trace_explain(bound_for(d, BITS_SPTE, false), line, &d->trace);
	d->found |= d->trace.finding_count;
	if (d->out.json)
		line_json(d, line);
	else
		line_text(d, line);
}
