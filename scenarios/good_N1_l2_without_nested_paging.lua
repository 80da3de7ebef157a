-- SPDX-License-Identifier: MIT
--
-- N-1: L1 has no EPT or NPT for L2: what L2 takes for physical is L1's physical (L1 shadows
-- L2's tables, or trusts it). Then there is nothing to mirror for nested paging: with TDP L2
-- runs on the same tables as L1, under another tag; without, its page tables are mirrored as
-- L1's are. Each has roots of its own to come back to.

local machines = {
  { "ept", "intel" }, { "npt", "amd" }, { "shadow", "intel" }, { "shadow", "amd" },
}

for _, config in ipairs(machines) do
  local vm = umbra.vm { paging = config[1], vendor = config[2], page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local g2 = vm:tables("pae", { pool = 0x180000 })
  g:map(0x400000, 0x5000, "w")
  g2:map(0x400000, 0x6000, "wu")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400000, { value = 1, gpa = 0x5000 })
  local own = cpu:path(0x5000)[1]
  cpu:enter { guest = g2 }
  cpu:write(0x400000, { as = "user", value = 2, gpa = 0x6000, l2_gpa = 0x6000 })
  cpu:write(0x800000, { pf = "W" })               -- L2's own page fault
  local l2s = cpu:path(0x6000)[1]
  expect((own == l2s) == (config[1] ~= "shadow"), "one root with TDP, two without")
  cpu:leave()
  cpu:read(0x400000, { value = 1, gpa = 0x5000 })
  cpu:resume()
  cpu:read(0x400000, { as = "user", value = 2, gpa = 0x6000 })
end
