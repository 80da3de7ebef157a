-- SPDX-License-Identifier: MIT
--
-- S-28 with two vCPUs on the same shadow tables: when vCPU 0 flushes, Umbra takes the entry
-- away from the tables that both use and flushes both TLBs, earlier than vCPU 1 could ask
-- for. When nobody flushes, both may lag behind. What matters: after its own INVLPG
-- each sees the new page, whoever edited the table.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local one, two = vm:vcpu(), vm:vcpu()
one:start(g)
two:start(g)
one:write(0x400000, { value = 5 })
two:read(0x400000, { value = 5, exits = 0 })
one:edit(g, 0x400000, 1, g:leaf(0x6000, "w"))
two:edit(g, 0x401000, 1, g:leaf(0x7000, "w"))
two:read(0x400000, { gpa = 0x5000, bare = "stale" })
one:read(0x400000, { gpa = 0x5000, bare = "stale" })
two:invlpg(0x400000)
two:read(0x400000, { gpa = 0x6000 })
one:invlpg(0x400000)
one:read(0x400000, { gpa = 0x6000 })
two:read(0x401000, { gpa = 0x7000 })
