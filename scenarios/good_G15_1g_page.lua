-- SPDX-License-Identifier: MIT
--
-- G-15: in 4- and 5-level paging bit 7 of a level 3 entry maps 1 GiB, if the CPU has such
-- pages. Where host memory is as contiguous Umbra uses 1 GiB too; where it is not (skew:
-- it lies 4 KiB off) the guest's one entry becomes a tree of small ones, direct tables
-- that are filled as the guest touches them (S-5).

for _, skew in ipairs { false, true } do
  local vm = umbra.vm { paging = "shadow", page = "1g", skew = skew }
  vm:slot { base = 0, size = "4M" }
  vm:slot { id = 1, base = 0x40000000, size = "2G" }
  local g = vm:tables("4")
  g:map(0x80000000, 0x40000000, "w", 3)
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x92345678, { value = 9, gpa = 0x52345678, level = skew and 1 or 3 })
  cpu:read(0x92345678, { value = 9, exits = 0 })
end
