/* SPDX-License-Identifier: MIT */
/*
 * syz.h - programs in syzkaller's text form, as trees.
 *
 *	r1 = ioctl$KVM_CREATE_VM(r0, 0xae01, 0x0)      a struct syz_call
 *	                         |   |       |
 *	                         args: a list of struct syz_arg, each with its own list below
 *
 * The reader knows the notation and no call: what an argument means, and how it lies in
 * memory, is for others to say (kvm/). It allocates from an arena that goes with the program,
 * has no globals and takes any bytes (tests/fuzz/fuzz_syz.c).
 */
#ifndef SYZ_SYZ_H
#define SYZ_SYZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** Deepest nesting of arguments; results r0 .. r9999; bytes of a string; bytes of a program. */
#define SYZ_DEPTH_MAX 64u
#define SYZ_RESULT_MAX 10000u
#define SYZ_DATA_MAX (1u << 24)
#define SYZ_TEXT_MAX (1u << 28)

/** struct syz_place - line and column (in bytes), from 1. */
struct syz_place {
	unsigned line, column;
};

enum syz_kind {
	SYZ_NUMBER, /* 0x10: value */
	SYZ_RESULT, /* r3, r3/0x2+0x10: value is 3; divide, add */
	SYZ_POINTER, /* &(0x7f0000000040)=ARG, &AUTO=ARG: value is the address; below */
	SYZ_RANGE, /* &(0x7f0000000000/0x2000)=nil: value, size */
	SYZ_NIL, /* nil */
	SYZ_AUTO, /* AUTO: a length or constant that the writer left to the reader */
	SYZ_DATA, /* 'text', "hex", "$base64", each with /size: data, size */
	SYZ_STRUCT, /* {ARG, ...}: below */
	SYZ_ARRAY, /* [ARG, ...]: below */
	SYZ_UNION, /* @name, @name=ARG: name; below */
};

/** struct syz_arg - one argument, element or field. */
struct syz_arg {
	enum syz_kind kind;
	struct syz_place place;
	/** The next of the same list, and the first of the list below; NULL: none. */
	struct syz_arg *next, *below;
	uint64_t value;
	/** RANGE: bytes; DATA: bytes at .data. */
	uint64_t size;
	/** RESULT: divided by this (0: not), then this is added. */
	uint64_t divide, add;
	/** <rN=>ARG: the call leaves result N here; -1: it does not. */
	int32_t gives;
	/** POINTER: &AUTO, the address is the reader's to choose; &(...)=ANY=, pieces of bytes
	 * instead of what the call expects. DATA: "$...", a compressed image, not unpacked. */
	bool automatic, any, image;
	const char *name;
	const uint8_t *data;
};

struct syz_call {
	struct syz_place place;
	struct syz_call *next;
	const char *name; /* "ioctl$KVM_RUN" */
	/** rN = ...: N, or -1. */
	int32_t gives;
	struct syz_arg *args;
	unsigned arg_count;
	/** Properties: (async), (fail_nth: N), (rerun: N); 0: not given. */
	bool async;
	uint64_t fail_nth, rerun;
};

struct syz_program {
	struct syz_call *calls;
	unsigned call_count;
	/** One more than the largest N of an rN. */
	unsigned result_count;
};

struct syz_error {
	struct syz_place place;
	/** "expected X, found Y", without the place. */
	char text[192];
};

/**
 * syz_parse - the program in @size bytes at @text. NULL: @error says where and what was
 * expected, or that memory is short. The tree does not point into @text.
 */
struct syz_program *syz_parse(const char *text, size_t size, struct syz_error *error);
/** syz_free - NULL is allowed. */
void syz_free(struct syz_program *program);

/**
 * syz_print_call, syz_print_arg - as text. @limit 0: such that syz_parse() gives the same tree;
 * else strings are cut after @limit bytes, and lists after twenty items.
 */
void syz_print_call(FILE *to, const struct syz_call *call, uint64_t limit);
void syz_print_arg(FILE *to, const struct syz_arg *arg, uint64_t limit);

#endif
