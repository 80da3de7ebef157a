# SPDX-License-Identifier: MIT
# A small front for Meson and Ninja. `make help` lists the targets.

BUILD ?= build
MESON ?= meson
NINJA ?= ninja
ifeq ($(origin CC),default)
CC = gcc
endif

UMBRA = $(BUILD)/umbra

.PHONY: all build configure demo check images hv hv-run hv-measure format lint bench clean help
.DEFAULT_GOAL = all

all: build

## make          build the library and the command into build/
build: configure
	@$(NINJA) -C $(BUILD)

# Configures anew when a source file came or went, which Ninja cannot see.
configure:
	@tools/configure $(BUILD) $(CC)

## make demo     set up, build, run the built-in guest, then a quick matrix
demo:
	@tools/setup build
	@$(MAKE) --no-print-directory build
	$(UMBRA) run
	$(UMBRA) matrix --quick

## make check    set up, build with gcc, run all tests and checks, then the tests again
##               as clang builds them, under ASan and UBSan; the last line counts them
check:
	@tools/setup build check
	@tools/run-tests $(BUILD)

## make images   build the four Linux memory images that tests use (build/images)
images:
	@tools/setup images
	@tools/make-images

## make hv       build the bare-metal hypervisor, build/umbra-hv.elf
hv: configure
	@$(NINJA) -C $(BUILD) umbra-hv.elf

## make hv-run   boot a kernel on it under QEMU: GUEST=FILE MMU=tdp|shadow (docs/HV.md)
GUEST ?= $(BUILD)/hv/guests/guest-modes
MMU ?= tdp
hv-run: build
	@BUILD=$(BUILD) tools/hv-run "$(GUEST)" mmu=$(MMU) $(OPTIONS)

## make hv-measure
##               instructions that operations cost a guest, beside KVM's (docs/HV.md)
hv-measure: build
	@BUILD=$(BUILD) tools/hv-measure

## make format   let clang-format rewrite the C files
format:
	@tools/check-format --fix

## make lint     clang-tidy and the other static checks
lint:
	@tools/check-all

## make bench    the benchmarks, one JSON line each
bench: build
	@$(UMBRA) bench

## make clean    remove what was compiled; the images stay
clean:
	@if [ -f $(BUILD)/build.ninja ]; then $(NINJA) -C $(BUILD) -t clean; fi
	@rm -rf $(BUILD)-clang $(BUILD)-asan

help:
	@sed -n 's/^## //p' Makefile
