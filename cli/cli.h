/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what all subcommands share: exit statuses and error lines.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/** Exit statuses of `umbra`, the same for every subcommand. */
enum cli_status {
	CLI_OK = 0,
	CLI_FINDING = 1, /* it worked, and found a difference or a broken rule */
	CLI_USAGE = 2, /* the command line is wrong */
	CLI_BADINPUT = 3, /* a file, or the place results go to, is wrong */
	CLI_BUG = 4, /* Umbra is wrong */
};

/**
 * cli_error - one line "umbra: ..." on stderr. Returns @status, so that a caller
 * can write `return cli_error(CLI_USAGE, ...)`. Newlines and other control
 * characters in the message are printed as '?': it stays one line.
 */
enum cli_status cli_error(enum cli_status status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
