-- SPDX-License-Identifier: MIT
--
-- P-4, H-102: PDPTEs of a guest's PAE tables are loaded into registers by MOV CR3; those of an
-- NPT are read from memory when they are used. L1 writes one: no register keeps the old value,
-- and with the next VMRUN that flushes L2 has the new gigabyte. (Whether an old one may be used
-- before that is unsure in the manual, so nothing is said about it here.)

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("pae")
local n = vm:tables("pae", { owner = g })
n:map(0x5000, 0x805000, "wu")
n:map(0x40005000, 0x905000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x5000, { gpa = 0x805000, size = 4 })
cpu:leave()
cpu:edit(n, 0x5000, 3, n:entry(0x40005000, 3), { verdict = "emulate" })
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { gpa = 0x905000, size = 4 })
cpu:leave()
cpu:edit(n, 0x5000, 3, n:entry(0x40005000, 3) | 2)      -- bit 1 is reserved in a PDPTE
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { npf = "P U RSVD FINAL", size = 4 })
cpu:edit(n, 0x5000, 3, 0)
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { npf = "U FINAL", size = 4 })
