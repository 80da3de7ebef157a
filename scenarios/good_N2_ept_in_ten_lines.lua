-- SPDX-License-Identifier: MIT
--
-- N-2, N-5: the guest (L1) is a hypervisor itself and runs a guest of its own (L2). L2's tables
-- lead to what L2 takes for physical; L1's EPT leads from there to L1's memory, and Umbra to
-- the host's. Hardware walks only two of these three, so Umbra keeps a mirror of L1's EPT whose
-- leaves are host frames: the violations of L2 that the mirror can heal L1 never sees.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")                             -- L1's own page tables
local e = vm:tables("ept4", { owner = g })           -- L1's EPT
e:map(0, 0x800000, "rwx", 2)                         -- L2 has 2M, from L1's 0x800000
local g2 = vm:tables("4", { base = 0x800000 })       -- L2's page tables, in L2's memory
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, guest = g2 }
cpu:write(0x400000, { as = "user", value = 7, l2_gpa = 0x5000, gpa = 0x805000 })
cpu:read(0x400000, { as = "user", value = 7, exits = 0 })
cpu:leave()
expect(vm:read(0x805000) == 7, "L2 has written to L1's memory")
cpu:read(0x400000, { pf = "none" })                  -- L1's own address 0x400000 is another
