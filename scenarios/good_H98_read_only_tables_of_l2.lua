-- SPDX-License-Identifier: MIT
--
-- H-98: with ROGPT in L1's VMCB a walk of L2's page tables writes only where A or D is to be
-- set: L1 can keep L2's page tables in pages of its NPT that are read-only, once those bits are
-- set. Without, each walk is a write (P-3). The hardware that runs L2 on Umbra's mirror is told
-- to do as L1 asked.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0, 0x800000, "wu", 1, 512)
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
g2:map(0x401000, 0x6000, "wu")
n:map(0x6000, 0xfee00000, "wu")                  -- a device of the VM's
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n, guest = g2, rogpt = true }
cpu:write(0x400000, { as = "user", gpa = 0x805000 })
cpu:write(0x401000, { as = "user", mmio = 0xfee00000 })
cpu:leave()
n:map(0x100000, 0x900000, "u", 1, 32)            -- L2's page tables
cpu:resume { tlb_control = 3 }
cpu:write(0x400000, { as = "user", gpa = 0x805000 })
cpu:write(0x401000, { as = "user", mmio = 0xfee00000 })         -- the emulator walks as the CPU does
cpu:leave()
g2:entry(0x400000, 1, g2:entry(0x400000, 1) & ~0x40)
cpu:resume { tlb_control = 3 }
cpu:read(0x400000, { as = "user", gpa = 0x805000 })
cpu:write(0x400000, { as = "user", npf = "P W U TABLE" })       -- D is to be set
cpu:resume { tlb_control = 3, rogpt = false }
cpu:read(0x400000, { as = "user", npf = "P W U TABLE", l2_gpa = g2:root() })
