-- SPDX-License-Identifier: MIT
--
-- S-20: only last-level tables go unsync. Pages that hold upper tables are mapped read-only
-- and stay so: each guest write to them exits, is emulated by the embedder with
-- umbra_vm_write(), and Umbra drops the entry that mirrored the old value. So the way from the
-- root to any last-level table is always true.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "8M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
g:map(0x600000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
local other = g:entry(0x600000, 2)
cpu:edit(g, 0x400000, 2, other, { verdict = "emulate" })
cpu:invlpg(0x400000)
cpu:read(0x400000, { gpa = 0x6000 })
cpu:edit(g, 0x400000, 2, 0, { verdict = "emulate" })
cpu:invlpg(0x400000)
cpu:read(0x400000, { pf = "none" })
