/* SPDX-License-Identifier: MIT */
/*
 * fuzz_text.c - programs as text: a step a line, the vCPU first where one acts.
 *
 * What fuzz_step_text() writes fuzz_read() understands, and nothing is lost.
 * Empty lines and what follows a # are left out.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/fuzz.h"

#define WORD_MAX 16
#define LINE_SIZE 512

enum shape { SHAPE_FIELDS, SHAPE_ACCESS, SHAPE_INVPCID, SHAPE_NUMBERS };

enum field {
	FIELD_PAGING,
	FIELD_FLAGS,
	FIELD_PML,
	FIELD_PF,
	FIELD_POINTER,
	FIELD_TAG,
	FIELD_TLB,
	FIELD_CR0,
	FIELD_CR3,
	FIELD_CR4,
	FIELD_EFER,
	FIELD_PKRU,
	FIELD_PKRS,
	FIELDS
};

static const struct {
	const char *name;
	uint64_t max;
} fields[FIELDS] = {
	[FIELD_PAGING] = {"paging=", UMBRA_NESTED_COUNT - 1},
	[FIELD_FLAGS] = {"flags=", UINT8_MAX},
	[FIELD_PML] = {"pml=", UINT16_MAX},
	[FIELD_PF] = {"pf=", UINT16_MAX},
	[FIELD_POINTER] = {"pointer=", UINT64_MAX},
	[FIELD_TAG] = {"tag=", UINT16_MAX},
	[FIELD_TLB] = {"tlb=", UINT8_MAX},
	[FIELD_CR0] = {"cr0=", UINT64_MAX},
	[FIELD_CR3] = {"cr3=", UINT64_MAX},
	[FIELD_CR4] = {"cr4=", UINT64_MAX},
	[FIELD_EFER] = {"efer=", UINT64_MAX},
	[FIELD_PKRU] = {"pkru=", UINT32_MAX},
	[FIELD_PKRS] = {"pkrs=", UINT32_MAX},
};

static const struct {
	const char *name;
	bool by_vcpu;
	enum shape shape;
	/** SHAPE_NUMBERS: how many; SHAPE_FIELDS: the last field, and in @first the first. */
	unsigned numbers, first;
} ops[FUZZ_OPS] = {
	[FUZZ_REGS] = {"regs", true, SHAPE_FIELDS, FIELD_PKRS, FIELD_CR0},
	[FUZZ_READ] = {"read", true, SHAPE_ACCESS, 0, 0},
	[FUZZ_WRITE] = {"write", true, SHAPE_ACCESS, 0, 0},
	[FUZZ_FETCH] = {"fetch", true, SHAPE_ACCESS, 0, 0},
	[FUZZ_INVLPG] = {"invlpg", true, SHAPE_NUMBERS, 1, 0},
	[FUZZ_INVPCID] = {"invpcid", true, SHAPE_INVPCID, 0, 0},
	[FUZZ_CR3] = {"cr3", true, SHAPE_NUMBERS, 1, 0},
	[FUZZ_CR0] = {"cr0^", true, SHAPE_NUMBERS, 1, 0},
	[FUZZ_CR4] = {"cr4^", true, SHAPE_NUMBERS, 1, 0},
	[FUZZ_KEYS] = {"keys", true, SHAPE_NUMBERS, 2, 0},
	[FUZZ_ENTER] = {"enter", true, SHAPE_FIELDS, FIELD_PKRS, FIELD_PAGING},
	[FUZZ_RESUME] = {"resume", true, SHAPE_FIELDS, FIELD_TLB, FIELD_POINTER},
	[FUZZ_LEAVE] = {"leave", true, SHAPE_NUMBERS, 0, 0},
	[FUZZ_INVEPT] = {"invept", true, SHAPE_NUMBERS, 2, 0},
	[FUZZ_INVVPID] = {"invvpid", true, SHAPE_INVPCID, 0, 0},
	[FUZZ_INVLPGA] = {"invlpga", true, SHAPE_NUMBERS, 2, 0},
	[FUZZ_VMFUNC] = {"vmfunc", true, SHAPE_NUMBERS, 1, 0},
	[FUZZ_SET] = {"set", false, SHAPE_ACCESS, 0, 0},
	[FUZZ_DELETE] = {"delete", false, SHAPE_NUMBERS, 1, 0},
	[FUZZ_ADD] = {"add", false, SHAPE_NUMBERS, 2, 0},
	[FUZZ_SWAP] = {"swap", false, SHAPE_NUMBERS, 1, 0},
	[FUZZ_ZAP] = {"zap", false, SHAPE_NUMBERS, 0, 0},
	[FUZZ_SHRINK] = {"shrink", false, SHAPE_NUMBERS, 1, 0},
	[FUZZ_UNPROTECT] = {"unprotect", false, SHAPE_NUMBERS, 1, 0},
	[FUZZ_TRACK] = {"track", false, SHAPE_NUMBERS, 1, 0},
	[FUZZ_UNTRACK] = {"untrack", false, SHAPE_NUMBERS, 1, 0},
};

static const struct {
	const char *name;
	unsigned bit;
} kinds[] = {
	{"user", UMBRA_ACCESS_USER},
	{"ac", UMBRA_ACCESS_AC},
	{"implicit", UMBRA_ACCESS_IMPLICIT},
	{"shstk", UMBRA_ACCESS_SHSTK},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void fuzz_program_free(struct fuzz_program *program)
{
	free(program->step);
	program->step = NULL;
	program->count = program->room = 0;
}

bool fuzz_add(struct fuzz_program *program, const struct fuzz_step *step)
{
	if (program->count == program->room) {
		unsigned room = program->room ? 2 * program->room : 256;
		struct fuzz_step *more = realloc(program->step, room * sizeof(*more));

		if (!more)
			return false;
		program->step = more;
		program->room = room;
	}
	program->step[program->count++] = *step;
	return true;
}

/* ---- writing ---- */

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format,
						      ...)
{
	size_t used = strlen(text);
	va_list list;

	va_start(list, format);
	vsnprintf(text + used, size - used, format, list);
	va_end(list);
}

static void access_text(const struct fuzz_step *s, char *text, size_t size)
{
	add(text, size, " 0x%" PRIx64 " %u", s->a, s->size);
	for (unsigned i = 0; i < KINDS; i++)
		if (s->op != FUZZ_SET && s->access & kinds[i].bit)
			add(text, size, " %s", kinds[i].name);
	if (s->op == FUZZ_WRITE || s->op == FUZZ_SET)
		add(text, size, " = 0x%" PRIx64, s->b);
}

static uint64_t field(const struct fuzz_step *s, unsigned which)
{
	switch (which) {
	case FIELD_PAGING: return s->paging;
	case FIELD_FLAGS: return s->flags;
	case FIELD_PML: return s->pml;
	case FIELD_PF: return s->pf;
	case FIELD_POINTER: return s->pointer;
	case FIELD_TAG: return s->tag;
	case FIELD_TLB: return s->tlb;
	case FIELD_CR0: return s->cr0;
	case FIELD_CR3: return s->a;
	case FIELD_CR4: return s->cr4;
	case FIELD_EFER: return s->efer;
	case FIELD_PKRU: return (uint32_t)s->b;
	default: return s->b >> 32;
	}
}

void fuzz_step_text(const struct fuzz_step *s, char *text, size_t size)
{
	text[0] = 0;
	if (ops[s->op].by_vcpu)
		add(text, size, "%u ", s->vcpu);
	add(text, size, "%s", ops[s->op].name);
	switch (ops[s->op].shape) {
	case SHAPE_FIELDS:
		for (unsigned i = ops[s->op].first; i <= ops[s->op].numbers; i++)
			add(text, size, " %s0x%" PRIx64, fields[i].name, field(s, i));
		break;
	case SHAPE_ACCESS: access_text(s, text, size); break;
	case SHAPE_INVPCID:
		add(text, size, " %u 0x%" PRIx64 " 0x%" PRIx64, s->size, s->b, s->a);
		break;
	case SHAPE_NUMBERS:
		if (ops[s->op].numbers > 0)
			add(text, size, " 0x%" PRIx64, s->a);
		if (ops[s->op].numbers > 1)
			add(text, size, " 0x%" PRIx64, s->b);
		break;
	}
}

bool fuzz_write(const struct fuzz_program *program, const char *path)
{
	FILE *to = fopen(path, "wx");
	bool good;

	if (!to)
		return false;
	fprintf(to, "# umbra fuzz --replay THIS\nconfig %s\nvcpus %u\n", program->config,
		program->vcpus);
	for (unsigned i = 0; i < program->count; i++) {
		char text[LINE_SIZE];

		fuzz_step_text(&program->step[i], text, sizeof(text));
		fprintf(to, "%s\n", text);
	}
	good = !ferror(to);
	return !fclose(to) && good;
}

/* ---- reading ---- */

static bool number(const char *text, uint64_t max, uint64_t *to)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	*to = strtoull(text, &end, 0);
	return !*end && *to <= max;
}

static void set_field(struct fuzz_step *s, unsigned which, uint64_t value)
{
	switch (which) {
	case FIELD_PAGING: s->paging = (uint8_t)value; break;
	case FIELD_FLAGS: s->flags = (uint8_t)value; break;
	case FIELD_PML: s->pml = (uint16_t)value; break;
	case FIELD_PF: s->pf = (uint16_t)value; break;
	case FIELD_POINTER: s->pointer = value; break;
	case FIELD_TAG: s->tag = (uint16_t)value; break;
	case FIELD_TLB: s->tlb = (uint8_t)value; break;
	case FIELD_CR0: s->cr0 = value; break;
	case FIELD_CR3: s->a = value; break;
	case FIELD_CR4: s->cr4 = value; break;
	case FIELD_EFER: s->efer = value; break;
	case FIELD_PKRU: s->b |= value; break;
	default: s->b |= value << 32; break;
	}
}

static bool read_fields(char **word, unsigned count, struct fuzz_step *s)
{
	const unsigned first = ops[s->op].first, last = ops[s->op].numbers;
	uint64_t value;

	if (count != last - first + 1)
		return false;
	for (unsigned i = first; i <= last; i++, word++) {
		const size_t n = strlen(fields[i].name);

		if (strncmp(*word, fields[i].name, n) || !number(*word + n, fields[i].max, &value))
			return false;
		set_field(s, i, value);
	}
	return true;
}

static bool read_access(char **word, unsigned count, struct fuzz_step *s)
{
	const bool valued = s->op == FUZZ_WRITE || s->op == FUZZ_SET;
	uint64_t size;
	unsigned i;

	if (count < 2 || !number(word[0], UINT64_MAX, &s->a) || !number(word[1], 8, &size) || !size)
		return false;
	s->size = (uint8_t)size;
	for (i = 2; i < count && strcmp(word[i], "="); i++) {
		unsigned k = 0;

		while (k < KINDS && strcmp(word[i], kinds[k].name))
			k++;
		if (k == KINDS)
			return false;
		s->access |= (uint8_t)kinds[k].bit;
	}
	if (!valued)
		return i == count;
	return i + 2 == count && number(word[i + 1], UINT64_MAX, &s->b);
}

static bool read_invpcid(char **word, unsigned count, struct fuzz_step *s)
{
	uint64_t type;

	if (count != 3 || !number(word[0], 7, &type) || !number(word[1], UINT16_MAX, &s->b) ||
	    !number(word[2], UINT64_MAX, &s->a))
		return false;
	s->size = (uint8_t)type;
	return true;
}

static bool read_step(char **word, unsigned count, unsigned vcpus, struct fuzz_step *s)
{
	uint64_t vcpu = 0;
	const bool by_vcpu = number(word[0], LAB_CPU_MAX - 1, &vcpu);
	unsigned op = 0;

	*s = (struct fuzz_step){.vcpu = (uint8_t)vcpu};
	if (by_vcpu) {
		word++;
		count--;
	}
	if (!count || vcpu >= vcpus)
		return false;
	while (op < FUZZ_OPS && (strcmp(word[0], ops[op].name) || ops[op].by_vcpu != by_vcpu))
		op++;
	if (op == FUZZ_OPS)
		return false;
	s->op = (uint8_t)op;
	word++;
	count--;
	switch (ops[op].shape) {
	case SHAPE_FIELDS: return read_fields(word, count, s);
	case SHAPE_ACCESS: return read_access(word, count, s);
	case SHAPE_INVPCID: return read_invpcid(word, count, s);
	default:
		if (count != ops[op].numbers || (count && !number(word[0], UINT64_MAX, &s->a)))
			return false;
		return count < 2 || number(word[1], UINT64_MAX, &s->b);
	}
}

/* One line. False: *what was expected. */
static bool read_line(struct fuzz_program *program, char *line, const char **what)
{
	char *word[WORD_MAX], *at;
	unsigned count = 0;
	struct fuzz_step step;
	uint64_t vcpus;

	line[strcspn(line, "#\r\n")] = 0;
	for (char *w = strtok_r(line, " \t", &at); w && count < WORD_MAX;
	     w = strtok_r(NULL, " \t", &at))
		word[count++] = w;
	if (!count)
		return true;
	if (!strcmp(word[0], "config")) {
		*what = "a line \"config KEY=VALUE,...\"";
		if (count != 2 || strlen(word[1]) >= sizeof(program->config))
			return false;
		strcpy(program->config, word[1]);
		return true;
	}
	if (!strcmp(word[0], "vcpus")) {
		*what = "\"vcpus\" and 1 to 4";
		if (count != 2 || !number(word[1], LAB_CPU_MAX, &vcpus) || !vcpus)
			return false;
		program->vcpus = (unsigned)vcpus;
		return true;
	}
	*what = "a step as docs/FUZZING.md has them";
	if (!read_step(word, count, program->vcpus, &step))
		return false;
	*what = "less, memory is short";
	return fuzz_add(program, &step);
}

bool fuzz_read(struct fuzz_program *program, const char *path, char *error, size_t error_size)
{
	FILE *from = fopen(path, "r");
	char line[LINE_SIZE];
	unsigned at = 0;

	*program = (struct fuzz_program){.vcpus = 1};
	if (!from) {
		snprintf(error, error_size, "cannot be opened");
		return false;
	}
	while (fgets(line, sizeof(line), from)) {
		const char *what = "";

		at++;
		if (read_line(program, line, &what))
			continue;
		snprintf(error, error_size, "line %u: expected %s", at, what);
		fclose(from);
		fuzz_program_free(program);
		return false;
	}
	fclose(from);
	return true;
}
