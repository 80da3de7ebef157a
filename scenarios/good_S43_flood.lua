-- SPDX-License-Identifier: MIT
--
-- S-43: a guest that frees a page table uses the page for something else, and each store
-- to it would exit forever, because Umbra still takes it for a table. After three
-- emulated writes to an upper table that was not used in between, the mirror is given
-- up: the page becomes ordinary memory.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "8M" }
local g = vm:tables("4")
g:map(0x40000000, 0x5000, "w")          -- another level 2 table than the window's
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x40000000)
vm:mark()
for i = 1, 3 do
  cpu:edit(g, 0x40000000 + i * 0x200000, 2, i << 12, { verdict = "emulate" })
end
vm:counts { mmu_flooded = 1 }
cpu:edit(g, 0x40000000 + 4 * 0x200000, 2, 4 << 12, { verdict = "resume" })
cpu:edit(g, 0x40000000 + 5 * 0x200000, 2, 5 << 12, { exits = 0 })
