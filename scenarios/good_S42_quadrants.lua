-- SPDX-License-Identifier: MIT
--
-- S-42, A-10: a 2-level guest's table has 1024 entries of 4 bytes; Umbra's mirror has 512 of 8.
-- One guest table is mirrored by two of Umbra's (a directory by four), and a guest write
-- must reach the entry in the right one: entry j is in half j / 512. A device write
-- to entries 0, 511, 512 and 1023 changes just those.

local vm = umbra.vm { paging = "shadow", prefetch = false }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("32")
local places = { 0x400000, 0x5ff000, 0x600000, 0x7ff000 }
for i, gva in ipairs(places) do
  g:map(gva, 0x4000 + i * 0x1000, "w")
end
local cpu = vm:vcpu()
cpu:start(g)
for i, gva in ipairs(places) do
  cpu:read(gva, { gpa = 0x4000 + i * 0x1000 })
end
for i, gva in ipairs(places) do
  g:entry(gva, 1, g:leaf(0x10000 + i * 0x1000, "w"))
  cpu:invlpg(gva)
  for k, other in ipairs(places) do
    cpu:read(other, { gpa = (k <= i and 0x10000 or 0x4000) + k * 0x1000 })
  end
end
