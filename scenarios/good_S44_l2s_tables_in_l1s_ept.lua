-- SPDX-License-Identifier: MIT
--
-- S-44, H-74: a page of L1's EPT is a page table of L2's as well, by L1's mistake or malice.
-- Each walk of it counts as a write, which Umbra's protection of mirrored tables refuses, and
-- to drop the mirror does not help: the walk itself needs it. Here the embedder carries the
-- instruction out, with Umbra's walk in software, and L2 sees what it would on the bare
-- machine.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx")
e:map(0x100000, 0x900000, "rw", 1, 32)
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
-- The page directory of L1's EPT stands at L2's 0x7000, where L2's tables look for theirs.
local directory = e:where(0x5000, 2) & ~0xfff
e:map(0x7000, directory, "rw")
g2:entry(0x40000000, 3, 0x7007)
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, guest = g2 }
cpu:read(0x400000, { gpa = 0x805000 })
-- Entry 16 of the directory is of no use to L1; for L2 it leads to a page table.
vm:write(directory + 8 * 16, g2:entry(0x400000, 2))
cpu:read(0x42000000, { gpa = 0x805000, verdict = "emulate" })
cpu:write(0x42000000, { gpa = 0x805000, value = 7, verdict = "emulate" })
cpu:read(0x400000, { gpa = 0x805000, value = 7 })
