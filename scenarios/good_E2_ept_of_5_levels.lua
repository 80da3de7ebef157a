-- SPDX-License-Identifier: MIT
--
-- E-2, R-14: EPT says in its pointer how many levels it has, so a mirror has the levels of L1's
-- EPT, and no portal is ever needed: L1 may use 4-level EPT on a 5-level host and the reverse.
-- The same root page as a 4- and a 5-level table is two mirrors. L2's addresses beyond 48 bits
-- need five levels: with four they are violations.

local vm = umbra.vm { paging = "ept", levels = 5, page = "4k", maxphyaddr = 52 }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4", { window = false })
local e4 = vm:tables("ept4", { owner = g, window = false })
local e5 = vm:tables("ept5", { owner = g, window = false, pool = 0x180000, root = e4:root() })
local high = 1 << 50
e4:map(0x5000, 0x805000, "rwx")
e5:map(0x5000, 0x905000, "rwx")
e5:map(high, 0x906000, "rwx")
e4:map(0x100000, 0x900000, "rw", 1, 32)
e5:map(0x100000, 0x900000, "rw", 1, 32)
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "w")
g2:map(0x401000, high, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e4, guest = g2 }
cpu:read(0x400000, { gpa = 0x805000 })
local four = cpu:path(0x5000, "mirror mirror mirror mirror")
cpu:read(0x401000, { violation = "read GVA FINAL GUEST_W", l2_gpa = high })
cpu:invept(1, e4)
cpu:enter { ept = e5, guest = g2, vpid = 2 }
cpu:read(0x400000, { gpa = 0x905000 })
cpu:read(0x401000, { l2_gpa = high, gpa = 0x906000 })
expect(cpu:path(0x5000, "mirror mirror mirror mirror mirror")[1] ~= four[1], "two mirrors")
