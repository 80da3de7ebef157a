-- SPDX-License-Identifier: MIT
--
-- G-38, A-12: a page that the guest may write but has only read is mapped read-only by
-- Umbra. The first write then faults, and that is when D is set in the guest's entry;
-- were the page mapped writable at once, the guest would never learn that it is dirty.
-- After that: no more exits. A guest that clears D (and flushes) sees it set again.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { exits = 1 })
cpu:entry(0x400000, 1, { present = true, writable = false })
cpu:write(0x400000, { value = 1, exits = 1 })
cpu:entry(0x400000, 1, { writable = true })
cpu:write(0x400000, { value = 2, exits = 0 })
cpu:edit(g, 0x400000, 1, g:leaf(0x5000, "wa"))     -- D cleared
cpu:invlpg(0x400000)
cpu:write(0x400000, { value = 3, exits = 1 })
expect(g:entry(0x400000, 1) & 0x40 ~= 0, "dirty again")
