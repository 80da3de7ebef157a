-- SPDX-License-Identifier: MIT
--
-- R-32: what went wrong in case 8 of the tour. L1 has 4-level paging, nested tables have 5
-- levels. KVM made a shadow page for the missing level, at the gfn of L1's root and with
-- role.level 5; but this is just what mirrors that gfn when L1 has LA57=1. So an L1 that
-- toggled LA57 and used the same nCR3 was given the old page: its entry 0 led to the mirror of
-- the *root* at level 4, the root was read twice, and L2 got the memory of another address. It
-- hurts L1, not L0. Umbra's role says "portal": the two are different tables, and either is
-- found again.

local vm = umbra.vm { paging = "npt", levels = 5, page = "4k" }
vm:slot { base = 0, size = "16M" }
local g4 = vm:tables("4", { window = false })
local g5 = vm:tables("5", { pool = 0x180000, window = false })
-- The same root page, read as a level-4 table and as a level-5 table.
local n4 = vm:tables("4", { owner = g4, window = false })
local n5 = vm:tables("5", { owner = g5, window = false, pool = 0x1c0000, root = n4:root() })
n4:map(0x5000, 0x800000, "wu")
n5:map(0x5000, 0x900000, "wu")
vm:write(0x800000, 4)
vm:write(0x900000, 5)
local cpu = vm:vcpu()

print("-- LA57=0: a portal, then four tables that mirror L1's four levels")
cpu:start(g4)
cpu:enter { npt = n4 }
cpu:read(0x5000, { gpa = 0x800000, value = 4 })
local four = cpu:path(0x5000, "portal mirror mirror mirror mirror")
cpu:leave()

print("-- LA57=1, the same nCR3: another root. KVM went on with table 1, whose entry 0 leads to")
print("-- the mirror of the root page as a *level-4* table, and would have read 4 here.")
cpu:start(g5)
cpu:enter { npt = n5 }
cpu:read(0x5000, { gpa = 0x900000, value = 5 })
local five = cpu:path(0x5000, "mirror mirror mirror mirror mirror")
expect(five[1] ~= four[1], "the roots are different tables")
cpu:leave()

print("-- Back: the portal is still there, nothing is built anew.")
cpu:start(g4)
vm:mark()
cpu:enter { npt = n4 }
cpu:read(0x5000, { gpa = 0x800000, value = 4, exits = 0 })
expect(cpu:path(0x5000)[1] == four[1], "the first root again")
vm:traced { get_page = 0 }
