/* SPDX-License-Identifier: MIT */
/*
 * fuzz_syz.c - libFuzzer target: any text is read or refused, and what is read says the same
 * after it has been printed.
 *
 * The mutator knows the notation's pieces: two times in three it puts one into the text, or
 * repeats a part of it, instead of changing bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syz/syz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static const char *const pieces[] = {
	"r0 = ",
	"r1 = ",
	"r9999",
	"r0",
	"r1/0x2+0x3",
	"openat$kvm",
	"ioctl$KVM_RUN",
	"(",
	")",
	"{",
	"}",
	"[",
	"]",
	", ",
	"=",
	"\n",
	"f(0x0)\n",
	"r0 = f()\n",
	"&(0x7f0000000000)=",
	"&(0x7f0000000000/0x2000)=nil",
	"&AUTO=",
	"ANY=[@ANYBLOB=\"00\", @ANYRES32=r0]",
	"@a=",
	"@ANYRES64",
	"nil",
	"AUTO",
	"<r2=>",
	"'x\\x00\\n'",
	"\"00ff\"",
	"\"$TQ==\"",
	"\"\"/40",
	"/0x10",
	" (async)",
	" (fail_nth: 1)",
	" # ",
	"0xffffffffffffffff",
	"017",
	"0b1",
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static char *printed(const struct syz_program *program, size_t *size)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, size);

	require(to != NULL);
	for (const struct syz_call *call = program->calls; call; call = call->next) {
		syz_print_call(to, call, 0);
		fputc('\n', to);
	}
	require(fclose(to) == 0);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct syz_error error;
	struct syz_program *program = syz_parse((const char *)data, size, &error);
	size_t once_size, twice_size;
	char *once, *twice;

	if (!program) {
		require(error.place.line > 0 && error.place.column > 0 && error.text[0] != '\0');
		return 0;
	}
	once = printed(program, &once_size);
	syz_free(program);
	program = syz_parse(once, once_size, &error);
	require(program != NULL);
	twice = printed(program, &twice_size);
	syz_free(program);
	require(once_size == twice_size && memcmp(once, twice, once_size) == 0);
	free(once);
	free(twice);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const char *piece = pieces[seed / 3 % (sizeof(pieces) / sizeof(pieces[0]))];
	const size_t at = size ? seed / 128 % size : 0;
	size_t length = strlen(piece);
	uint8_t copy[64];

	if (seed % 3 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	if (seed % 3 == 1 && size > at) {
		length = 1 + seed / 8192 % sizeof(copy);
		length = length < size - at ? length : size - at;
		memcpy(copy, data + at, length);
	} else {
		memcpy(copy, piece, length);
	}
	if (size + length > max_size)
		return LLVMFuzzerMutate(data, size, max_size);
	memmove(data + at + length, data + at, size - at);
	memcpy(data + at, copy, length);
	return size + length;
}
