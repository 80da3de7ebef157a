-- SPDX-License-Identifier: MIT
--
-- S-43: page table code stores whole, aligned entries. A store that crosses an entry's
-- boundary, or is shorter than 4 bytes, says that the page is not a table any more: the whole
-- mirror goes. One byte at the start of an entry is an exception: that is how kernels clear
-- a bit. Whatever happens to mirrors, what the guest wrote is what counts.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
vm:mark()
vm:write(g:where(0x400000, 1), 0x01, { size = 1 })           -- the idiom: clears W
vm:counts { mmu_flooded = 0 }
cpu:invlpg(0x400000)
cpu:write(0x400000, { pf = "P W" })
vm:write(g:where(0x400000, 1) + 1, 0x70, { size = 2 })       -- gpa 0x7000
vm:counts { mmu_flooded = 1 }
cpu:invlpg(0x400000)
cpu:read(0x400000, { gpa = 0x7000 })
