-- SPDX-License-Identifier: MIT
--
-- N-10: L1 takes a page from L2 and gives it to somebody else without INVEPT. L2 can go on
-- writing to it. So it could on the bare machine, and Umbra does not do better: it is L1's
-- mistake, and it hurts L1 only. What L1 cannot do wrong is the other direction: an entry that
-- was not present is valid at once.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e }
cpu:write(0x5000, { value = 1, gpa = 0x805000 })
cpu:leave()
cpu:edit(e, 0x5000, 1, 0)                      -- the page is gone, L1 believes
cpu:edit(e, 0x6000, 1, e:leaf(0x806000, "rwx"))
cpu:resume()
cpu:write(0x5000, { value = 2, gpa = 0x805000, bare = "stale" })
cpu:write(0x6000, { value = 3, gpa = 0x806000 })
expect(vm:read(0x805000) == 2, "the page that was not L2's any more")
