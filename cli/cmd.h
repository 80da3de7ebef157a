/* SPDX-License-Identifier: MIT */
/*
 * cmd.h - the subcommands. Each is a file of its own, cli/NAME.c, with one
 * function that gets its own name as argv[0] and returns an enum cli_status.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

int cmd_bench(int argc, char **argv);
int cmd_decode(int argc, char **argv);
int cmd_fuzz(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_matrix(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_walk(int argc, char **argv);

#endif
