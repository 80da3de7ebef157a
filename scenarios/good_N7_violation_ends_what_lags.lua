-- SPDX-License-Identifier: MIT
--
-- N-7, H-123: L1's EPT may lag until INVEPT, but a violation ends that for its address: the CPU
-- forgets what it knew of it, else the same access could be refused for ever. So after an exit
-- that L1 sees, Umbra has looked at L1's entry again: L2 uses what is there now, in every mirror
-- that is kept. Other addresses lag on.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "r", 1, 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e }
cpu:read(0x5000, { gpa = 0x805000 })
cpu:read(0x6000, { gpa = 0x806000 })
cpu:leave()
cpu:edit(e, 0x5000, 1, e:leaf(0x905000, "r"))
cpu:edit(e, 0x6000, 1, e:leaf(0x906000, "r"))
cpu:resume()
cpu:read(0x5000, { gpa = 0x805000, bare = "stale" })
cpu:write(0x5000, { violation = "write R GVA FINAL GUEST_U GUEST_W" })
cpu:resume()
cpu:read(0x5000, { gpa = 0x905000 })
cpu:read(0x6000, { gpa = 0x806000, bare = "stale" })
