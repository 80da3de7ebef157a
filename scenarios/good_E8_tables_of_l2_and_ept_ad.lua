-- SPDX-License-Identifier: MIT
--
-- E-8, N-4, H-81: with A and D bits in L1's EPT (EPTP bit 6) each look at one of L2's page
-- tables counts as a write: a read-only leaf below them is a violation even for a read of L2,
-- and D is set in L1's EPT. Without, only an update of A or D in L2's own tables is a write:
-- where they are set already L2 can keep its tables in pages that it may not write. (KVM takes
-- all of them for writes in both cases.)

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x100000, 0x900000, "rw", 1, 32)
e:map(0x5000, 0x805000, "rwx")
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
local root = g2:root()
local A, D = 1 << 8, 1 << 9

cpu:enter { ept = e, guest = g2, ad = false }
cpu:read(0x400000, { gpa = 0x805000 })          -- sets A in L2's tables
expect(e:entry(root, 1) & (A | D) == 0, "no A and D bits in L1's EPT")
cpu:leave()
e:map(root, 0x800000 + root, "r")
cpu:invept(2)
cpu:resume()
cpu:read(0x400000, { gpa = 0x805000 })          -- A is set: a mere read
cpu:leave()
g2:entry(0x400000, 4, g2:entry(0x400000, 4) & ~0x20)
cpu:invept(2)
cpu:invvpid { type = 2 }
cpu:resume()
cpu:read(0x400000, { violation = "write R GVA", l2_gpa = root })     -- A is to be set

print("-- EPTP bit 6")
cpu:invept(2)
cpu:resume { ad = true }
cpu:read(0x400000, { violation = "read write R GVA", l2_gpa = root })
e:map(root, 0x800000 + root, "rw")
cpu:invept(2)
cpu:resume()
cpu:read(0x400000, { gpa = 0x805000 })
expect(e:entry(root, 1) & (A | D) == A | D, "L2's top table is dirty in L1's EPT")
expect(e:entry(0x5000, 1) & (A | D) == A, "what L2 has read is accessed only")
cpu:write(0x400000, { gpa = 0x805000 })
expect(e:entry(0x5000, 1) & (A | D) == A | D, "and what it has written is dirty")
