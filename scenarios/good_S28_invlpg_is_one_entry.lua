-- SPDX-License-Identifier: MIT
--
-- S-28: INVLPG promises one address. Umbra syncs that one entry of the unsync table and
-- leaves the others alone, as fast as it can; they may stay stale until their own flush. Here the
-- guest changes two entries and flushes one.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
g:map(0x401000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000)
cpu:read(0x401000)
cpu:edit(g, 0x400000, 1, g:leaf(0x7000, "w"))
cpu:edit(g, 0x401000, 1, g:leaf(0x8000, "w"))
cpu:invlpg(0x400000)
cpu:entry(0x400000, 1, { present = false })
cpu:entry(0x401000, 1, { gpa = 0x6000 })
cpu:read(0x400000, { gpa = 0x7000 })
cpu:invlpg(0x401000)
cpu:read(0x401000, { gpa = 0x8000 })
