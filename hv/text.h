/* SPDX-License-Identifier: MIT */
/*
 * text.h - what string.h would be for.
 */
#ifndef HV_TEXT_H
#define HV_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void text_copy(void *to, const void *from, size_t bytes); /* as memmove */
void text_zero(void *to, size_t bytes);
size_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
/** text_number - decimal or 0x..., with K, M or G behind. False: not a number. */
bool text_number(const char *text, uint64_t *value);

#endif
