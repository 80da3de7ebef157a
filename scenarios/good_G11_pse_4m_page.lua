-- SPDX-License-Identifier: MIT
--
-- G-11: with CR4.PSE a page directory entry with bit 7 set maps 4 MiB at once. The hardware that
-- runs a shadowed 32-bit guest has PAE tables, whose large pages have 2 MiB: one
-- guest entry becomes two entries of Umbra's (S-42 calls it doubling). Both halves lead to
-- the right memory.

local vm = umbra.vm { paging = "shadow", page = "1g" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("32pse")
g:map(0x800000, 0x400000, "wu", 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x801000, { value = 1, gpa = 0x401000, level = 2 })
cpu:read(0xa01000, { gpa = 0x601000, level = 2, exits = 1 })
cpu:entry(0x800000, 2, { leaf = true, gpa = 0x400000 })
cpu:entry(0xa00000, 2, { leaf = true, gpa = 0x600000 })
