-- SPDX-License-Identifier: MIT
--
-- G-12: in PAE mode the four top entries (PDPTEs) are registers of the CPU. MOV CR3
-- loads them from memory; what the guest writes to memory later has no effect until
-- it loads CR3 again. INVLPG is not enough. Umbra's root for a PAE guest has the four
-- register values in its identity, so memory may change below it.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("pae")
g:map(0x40000000, 0x5000, "w")          -- PDPTE 1
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x40000000, { gpa = 0x5000 })
local pdpte = g:entry(0x40000000, 3)
cpu:edit(g, 0x40000000, 3, 0)           -- not present, in memory
cpu:invlpg(0x40000000)
cpu:read(0x40000000, { gpa = 0x5000 })  -- the register is as it was
cpu:mov_cr3(g:root())
cpu:read(0x40000000, { pf = "none" })
cpu:edit(g, 0x40000000, 3, pdpte)
cpu:read(0x40000000, { pf = "none" })
cpu:mov_cr3(g:root())
cpu:read(0x40000000, { gpa = 0x5000 })
