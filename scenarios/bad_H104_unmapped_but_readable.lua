-- SPDX-License-Identifier: MIT
--
-- H-104: a guest unmaps a page, gives the memory to somebody else, and forgets INVLPG. The old
-- user still reads it: here the new owner's secret. With EPT Umbra has no part in it, the
-- guest's tables are its own; with shadow paging the unsync table behaves alike. In both
-- worlds the guest is to blame, and both worlds look the same.

for _, paging in ipairs { "ept", "shadow" } do
  local vm = umbra.vm { paging = paging }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0x5000, "wu")
  g:map(0x401000, 0x5000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400000, { as = "user", value = 1 })
  cpu:edit(g, 0x400000, 1, 0)
  cpu:write(0x401000, { value = 0x5ec4e7 })
  cpu:read(0x400000, { as = "user", value = 0x5ec4e7, bare = "stale" })
  cpu:invlpg(0x400000)
  cpu:read(0x400000, { as = "user", pf = "U" })
end
