-- SPDX-License-Identifier: MIT
--
-- R-30, R-31: hardware that runs a 2-level guest on shadow tables has no 2-level format to give
-- it: Umbra's root is one level higher than the guest's. It is a portal ("promoted"): its
-- four entries lead to the four quarters of the guest's page directory, and it mirrors no
-- guest bytes itself. All four quarters translate.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("32")
local cpu = vm:vcpu()
for i = 0, 3 do
  g:map(0x400000 + i * 0x40000000, 0x5000 + i * 0x1000, "w")
end
cpu:start(g)
for i = 0, 3 do
  cpu:write(0x400000 + i * 0x40000000, { value = i, size = 4, gpa = 0x5000 + i * 0x1000 })
  cpu:entry(0x400000 + i * 0x40000000, 3, { present = true, leaf = false })
end
