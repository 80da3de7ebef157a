-- SPDX-License-Identifier: MIT
--
-- F-10, G-20: under shadow paging a #PF with RSVD is the mark of Umbra's own MMIO entries. A guest
-- that sets a reserved bit in its own entry gets its own #PF with RSVD all the same, whether
-- there was a device behind the page before or not: hardware never walks that entry. And a
-- RSVD fault that no entry explains, as when another vCPU was quicker, is tried again.

local vm = umbra.vm { paging = "shadow", maxphyaddr = 46 }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0xfee00000, "w")
g:map(0x401000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { mmio = 0xfee00000 })
cpu:read(0x400000, { mmio = 0xfee00000, exits = 1 })
cpu:edit(g, 0x400000, 1, g:leaf(0xfee00000, "w") | 1 << 50)
cpu:invlpg(0x400000)
cpu:read(0x400000, { pf = "P RSVD" })
cpu:read(0x401000, { gpa = 0x5000 })
cpu:exit { kind = "pf", gva = 0x401000, code = 9, verdict = "retry" }
cpu:read(0x401000, { gpa = 0x5000, exits = 0 })
