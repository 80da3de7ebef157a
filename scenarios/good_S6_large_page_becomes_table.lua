-- SPDX-License-Identifier: MIT
--
-- S-6: an entry of Umbra's that leads to a table may be followed only if that table is exactly
-- what is wanted: same guest frame, same role. Here the guest replaces a 2 MiB page by a page
-- table and then by another 2 MiB page, without asking anybody. KVM once followed what
-- was there, and left reverse mappings behind that pointed to freed tables.

local vm = umbra.vm { paging = "shadow", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
g:map(0x600000, 0x5000, "w")
local as_table = g:entry(0x600000, 2)
g:map(0x400000, 0x400000, "w", 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { gpa = 0x400000 })
cpu:edit(g, 0x400000, 2, as_table)
cpu:invlpg(0x400000)
cpu:write(0x400000, { gpa = 0x5000 })
cpu:edit(g, 0x400000, 2, g:leaf(0x800000, "w", 2))
cpu:invlpg(0x400000)
cpu:write(0x400000, { gpa = 0x800000 })
vm:audit()
