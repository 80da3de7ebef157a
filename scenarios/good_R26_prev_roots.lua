-- SPDX-License-Identifier: MIT
--
-- R-26, A-9: a guest kernel switches CR3 all the time between few address spaces. Umbra keeps
-- the last roots of a vCPU besides the current one: going back to one of them makes no new
-- table and takes no exit for what was mapped. A, B, C, D, A: the A is still there.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = {}
for i = 1, 4 do
  g[i] = vm:tables("4", { pool = 0x100000 + i * 0x20000, pages = 16 })
  g[i]:map(0x400000, 0x4000 + i * 0x1000, "w")
end
local cpu = vm:vcpu()
cpu:start(g[1])
cpu:read(0x400000, { gpa = 0x5000, exits = 1 })
for i = 2, 4 do
  cpu:mov_cr3(g[i]:root())
  cpu:read(0x400000, { gpa = 0x4000 + i * 0x1000, exits = 1 })
end
vm:mark()
cpu:mov_cr3(g[1]:root())
cpu:read(0x400000, { gpa = 0x5000, exits = 0 })
vm:traced { root = 0 }
