-- SPDX-License-Identifier: MIT
--
-- R-10, S-24: a booting guest goes from no paging through PAE to long mode, with the same vCPU
-- and often the same page as root. Tables made for one mode must not serve another: the
-- mode is part of a table's role. Here page 0x100000 is the root of a PAE and then of a
-- 4-level guest, and the address space changes with each step.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local pae = vm:tables("pae", { pool = 0x100000 })
pae:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start()
cpu:read(0x6000, { gpa = 0x6000 })
cpu:mov_cr3(pae:root())
cpu:set { pae = true }
cpu:set { pg = true }
cpu:read(0x400000, { gpa = 0x5000 })
cpu:set { pg = false }
cpu:read(0x200000, { gpa = 0x200000 })
cpu:set { lme = true }
local long = vm:tables("4", { pool = 0x200000, root = 0x201000 })
long:map(0x400000, 0x7000, "w")
cpu:mov_cr3(long:root())
cpu:set { pg = true }
cpu:read(0x400000, { gpa = 0x7000 })
