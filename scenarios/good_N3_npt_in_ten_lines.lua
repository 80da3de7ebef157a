-- SPDX-License-Identifier: MIT
--
-- N-3, H-92: L1's nested page tables have the format of L1's own paging mode, and every access
-- of L2 is a user's to them: a leaf without U keeps L2 out, kernel or not. Walks of L2's page
-- tables even count as writes. What L1's tables forbid is an exit to L1, with the address in
-- L2's terms and bit 32 or 33 saying whether the final address or a table was being translated.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })              -- L1's NPT: the same format
n:map(0, 0x800000, "wu", 1, 512)                    -- L2 has 2M, from L1's 0x800000
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n, guest = g2 }
cpu:write(0x400000, { as = "user", value = 7, l2_gpa = 0x5000, gpa = 0x805000 })
cpu:leave()

n:map(0x5000, 0x805000, "w")                         -- no U
cpu:resume { tlb_control = 3 }
cpu:read(0x400000, { npf = "P U FINAL", l2_gpa = 0x5000 })
n:map(0x5000, 0x805000, "u")                         -- no W
cpu:resume { tlb_control = 3 }
cpu:read(0x400000, { gpa = 0x805000, value = 7 })
cpu:write(0x400000, { npf = "P W U FINAL", l2_gpa = 0x5000 })
n:map(g2:root(), 0x800000 + g2:root(), "u")          -- L2's top table, read-only for L2
cpu:resume { tlb_control = 3 }
cpu:read(0x400000, { npf = "P W U TABLE" })
