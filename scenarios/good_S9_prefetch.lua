-- SPDX-License-Identifier: MIT
--
-- S-9: when a fault maps a page, up to seven neighbours in the same aligned block of eight are
-- mapped along, if the guest's entries are present and already accessed: then they will
-- be used again. A guest that walks through memory takes one exit for eight pages. Entries
-- that the guest has not accessed are left alone, for A must mean something.

for _, prefetch in ipairs { true, false } do
  local vm = umbra.vm { paging = "shadow", prefetch = prefetch }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  for i = 0, 7 do
    g:map(0x400000 + i * 0x1000, 0x10000 + i * 0x1000, i == 5 and "w" or "wad")
  end
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:read(0x400000, { exits = 1 })
  for i = 1, 7 do
    cpu:read(0x400000 + i * 0x1000, { exits = (i == 5 or not prefetch) and 1 or 0 })
  end
end
