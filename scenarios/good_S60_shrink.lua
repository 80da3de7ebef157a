-- SPDX-License-Identifier: MIT
--
-- S-60: when the host is short of memory it asks for table pages back (KVM: a shrinker). Tables
-- hold nothing that cannot be made again: old ones are unlinked from all parents and freed,
-- roots in use stay. The guest sees time pass, nothing else.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4", { pages = 64 })
quiet(true)
for i = 0, 15 do g:map(0x10000000 + i * 0x200000, 0x200000 + i * 0x1000, "w") end
local cpu = vm:vcpu()
cpu:start(g)
for i = 0, 15 do cpu:write(0x10000000 + i * 0x200000, { value = i }) end
quiet(false)
local got = vm:shrink(8)
expect(got >= 8, "eight pages or more come back")
cpu:read(0x10000000, { value = 0, exits = 1 })   -- made again
quiet(true)
for i = 0, 15 do cpu:read(0x10000000 + i * 0x200000, { value = i }) end
