-- SPDX-License-Identifier: MIT
--
-- R-32, R-30: not only LA57 changes what a root page means. The same page is a directory of
-- 4-byte entries for a 2-level L1 and four PDPTEs for a PAE one; and bit 7 of a directory entry
-- makes a 4M page with CR4.PSE=1 and nothing without. All of them want a portal of the same
-- frame in a 4-level host. What L1's paging mode is belongs to the identity of each table,
-- portals too.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("32", { window = false })
local gpae = vm:tables("pae", { pool = 0x180000, window = false })
local n = vm:tables("32", { owner = g, window = false })
local npae = vm:tables("pae", { owner = gpae, window = false, pool = 0x1c0000, root = n:root() })
-- L2's 0x2005000: entry 8 of the directory, or entry 0 of the PDPTEs.
n:map(0x2005000, 0x800000, "wu")
npae:map(0x2005000, 0x900000, "wu")
vm:write(0x800000, 2)
vm:write(0x900000, 3)
-- L2's 0x2405000: 0x400087 is a table at 0x400000, or with PSE a 4M page there.
n:entry(0x2405000, 2, 0x400087)
vm:write(0x400000 + 4 * 5, 0xa00007, { size = 4 })
vm:write(0xa00000, 0x11)
vm:write(0x405000, 0x22)
local cpu = vm:vcpu()

print("-- PAE=0, PSE=0")
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x2005000, { size = 4, value = 2 })
cpu:read(0x2405000, { size = 4, gpa = 0xa00000, value = 0x11 })
local two = cpu:path(0x2005000, "portal portal mirror mirror")
cpu:leave()

print("-- PSE=1: MOV CR4, then the same VMCB")
cpu:set { pse = true }
cpu:resume()
cpu:read(0x2405000, { size = 4, gpa = 0x405000, value = 0x22 })
cpu:read(0x2005000, { size = 4, value = 2 })
local pse = cpu:path(0x2005000, "portal portal mirror mirror")
cpu:leave()

print("-- PAE=1: three levels")
cpu:start(gpae)
cpu:enter { npt = npae }
cpu:read(0x2005000, { size = 4, value = 3 })
local pae = cpu:path(0x2005000, "portal mirror mirror mirror")
cpu:leave()

print("-- PAE=0, PSE=0 again")
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x2405000, { size = 4, gpa = 0xa00000, value = 0x11 })
expect(cpu:path(0x2005000)[1] == two[1], "the first root again")
expect(pse[1] ~= two[1] and pae[1] ~= two[1] and pae[1] ~= pse[1], "three roots of one frame")
