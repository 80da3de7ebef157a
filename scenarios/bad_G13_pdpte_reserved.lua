-- SPDX-License-Identifier: MIT
--
-- G-13: a PDPTE has no rights: bits 1, 2 and 5 to 8 are reserved, as are address bits
-- beyond MAXPHYADDR. They are checked when MOV CR3 loads the registers, not when an
-- address is translated: MOV raises #GP and nothing has changed. A guest that treats a
-- PDPTE like any other entry and sets R/W dies here, on bare hardware as on Umbra.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("pae")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
g:entry(0x400000, 3, g:entry(0x400000, 3) | 2)          -- R/W
cpu:mov_cr3(g:root(), { gp = true })
g:entry(0x400000, 3, g:entry(0x400000, 3) & ~2 | 1 << 50)  -- beyond MAXPHYADDR
cpu:mov_cr3(g:root(), { gp = true })
cpu:read(0x400000, { gpa = 0x5000 })                    -- the old registers are in use
g:entry(0x40000000, 3, 1 << 50)                         -- not present: not checked
g:entry(0x400000, 3, g:entry(0x400000, 3) & ~(1 << 50))
cpu:mov_cr3(g:root())
