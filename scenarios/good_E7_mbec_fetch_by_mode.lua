-- SPDX-License-Identifier: MIT
--
-- E-7: with MBEC an EPT entry has two execute bits: one for supervisor-mode linear addresses
-- (bit 2), one for user-mode ones (bit 10). Which applies is decided by the guest's page
-- tables, not by the CPL. Umbra's own leaves allow both; with the control on and bit 10
-- forgotten, every fetch from a user page would exit forever.

local vm = umbra.vm { paging = "ept", exec_by_mode = true, page = "4k", layout = "7.3" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "u")
g:map(0x401000, 0x6000, "")
local cpu = vm:vcpu()
cpu:start(g)
cpu:fetch(0x400000, { as = "user", gpa = 0x5000 })
cpu:fetch(0x401000, { gpa = 0x6000 })
cpu:entry(0x5000, 1, { executable = true, user = true })
cpu:fetch(0x401000, { as = "user", pf = "P U I" })
