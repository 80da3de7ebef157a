-- SPDX-License-Identifier: MIT
--
-- R-31, R-32: a portal has the frame number of L1's root but mirrors none of its bytes. L1
-- writes entry 0 of that page: the mirror at L1's own top level loses its entry 0, the portal
-- above it keeps the one that leads there. (KVM took its level-5 page for a mirror too and
-- zapped its entry 0, of all entries, whenever L1 wrote the first one.) So L2's root stays, and
-- after VMRUN with a flush L2 sees the new table. The same where two portals stand above a
-- 2-level root.

local function run(levels, mode, upper, roles)
  local vm = umbra.vm { paging = "npt", levels = levels, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables(mode)
  local n = vm:tables(mode, { owner = g })
  local other = vm:tables(mode, { owner = g, pool = 0x1c0000, window = false })
  n:map(0x5000, 0x800000, "wu")
  other:map(0x5000, 0x900000, "wu")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { npt = n }
  cpu:read(0x5000, { gpa = 0x800000, size = 4 })
  local before = cpu:path(0x5000, roles)
  cpu:leave()

  local top = mode == "32" and 2 or 4
  cpu:edit(n, 0x5000, top, other:entry(0x5000, top), { verdict = "emulate" })
  cpu:resume { tlb_control = 3 }
  cpu:path(0x5000, upper)                          -- down to the mirror of the root, whose entry 0 is gone
  cpu:read(0x5000, { gpa = 0x900000, size = 4 })
  local after = cpu:path(0x5000, roles)
  for i = 1, levels - top + 1 do
    expect(before[i] == after[i], "the portals and the mirror of the root are the same tables")
  end
  expect(before[levels] ~= after[levels], "what lies below entry 0 is another table")
end

run(5, "4", "portal mirror", "portal mirror mirror mirror mirror")
run(4, "32", "portal portal mirror", "portal portal mirror mirror")
run(5, "32", "portal portal portal mirror", "portal portal portal mirror mirror")
