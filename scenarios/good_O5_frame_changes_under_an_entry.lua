-- SPDX-License-Identifier: MIT
--
-- O-5, S-7: a leaf never changes the frame that it leads to in place. First the old one
-- goes, out of the reverse map as well, then the new one comes. When it was done the other way
-- round, deleting the old slot did not find the entry: a use after free. Here the guest
-- points an entry from a slot to MMIO and to another slot; then the slots go, one by one.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x40000000, size = "64K" }
vm:slot { id = 2, base = 0x50000000, size = "64K" }
local g = vm:tables("4")
g:map(0x400000, 0x40000000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 1 })
cpu:edit(g, 0x400000, 1, g:leaf(0xfee00000, "w"))
cpu:invlpg(0x400000)
cpu:write(0x400000, { mmio = 0xfee00000 })
vm:slot { id = 1, size = 0 }
vm:audit()
cpu:edit(g, 0x400000, 1, g:leaf(0x50000000, "w"))
cpu:invlpg(0x400000)
cpu:write(0x400000, { gpa = 0x50000000 })
vm:slot { id = 2, size = 0 }
cpu:read(0x400000, { mmio = 0x50000000 })
