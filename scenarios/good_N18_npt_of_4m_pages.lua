-- SPDX-License-Identifier: MIT
--
-- N-18, P-1, G-11: the NPT of a 2-level L1 can have 4M pages if L1's CR4.PSE is set. Umbra's
-- tables know 2M: each such page is two entries of a mirror, large ones where host memory
-- allows, and D of L1's one entry is for both. With PSE-36 the page may lie above 4 GiB, out of
-- L2's reach but not of L1's NPT.

for levels = 3, 5 do
  local vm = umbra.vm { paging = "npt", levels = levels, page = "2m" }
  vm:slot { base = 0, size = "32M" }
  if levels > 3 then vm:slot { id = 1, base = 0x100000000, size = "4M" } end
  local g = vm:tables("32pse")
  local n = vm:tables("32pse", { owner = g })
  n:map(0x400000, 0x1000000, "wu", 2)
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { npt = n }
  cpu:read(0x405000, { size = 4, gpa = 0x1005000, level = 2 })
  cpu:read(0x605000, { size = 4, gpa = 0x1205000, level = 2 })
  expect(n:entry(0x400000, 2) & 0x60 == 0x20, "accessed, not dirty")
  cpu:write(0x605000, { size = 4, value = 7, gpa = 0x1205000 })
  expect(n:entry(0x400000, 2) & 0x60 == 0x60, "dirty")
  cpu:write(0x405000, { size = 4, value = 8, gpa = 0x1005000 })
  cpu:path(0x605000)
  cpu:leave()
  if levels > 3 then
    cpu:edit(n, 0x400000, 2, n:leaf(0x100000000, "wu", 2), { verdict = "emulate" })
    cpu:resume { tlb_control = 3 }
    cpu:write(0x605000, { size = 4, value = 9, gpa = 0x100205000 })
    cpu:leave()
  end

  print("-- without PSE the same entry leads to a table")
  cpu:set { pse = false }
  n:entry(0x400000, 2, 0x1000087)
  vm:write(0x1000000 + 5 * 4, 0x1800007, { size = 4 })
  cpu:resume { tlb_control = 3 }
  cpu:read(0x405000, { size = 4, gpa = 0x1800000 })
end
