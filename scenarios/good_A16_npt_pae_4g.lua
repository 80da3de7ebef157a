-- SPDX-License-Identifier: MIT
--
-- P-1, A-16: NPT tables have the format of the host's kernel. A 32-bit PAE host has three
-- levels whose input is 32 bits wide, so such a host cannot map guest-physical addresses
-- from 4 GiB on. An access there without a slot is MMIO, with one a memory fault; and
-- address 0 is left alone.

local vm = umbra.vm { paging = "npt", levels = 3, page = "4k" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x100000000, size = "64K", unmappable = true }
local g = vm:tables("pae")
g:map(0x400000, 0x100000000, "w")
g:map(0x401000, 0x200000000, "w")
g:map(0x402000, 0x0, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x402000, { gpa = 0 })
cpu:read(0x401000, { mmio = 0x200000000 })
cpu:read(0x400000, { memory_fault = 0x100000000, bare = "illegal" })
