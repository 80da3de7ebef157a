-- SPDX-License-Identifier: MIT
--
-- H-78, H-20: a PAE L2 under EPT has its PDPTEs from VMCS fields when it is entered: its memory
-- is not read, L1's EPT need not even map it. MOV CR3 in L2 reads them from memory, through
-- L1's EPT: a plain read, also with A and D bits on, and the violation that it may meet has no
-- linear address (bit 7 is clear).

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x101000, 0x901000, "rw", 1, 31)           -- L2's tables, but for the PDPTEs
e:map(0x5000, 0x805000, "rwx")
local g2 = vm:tables("pae", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, guest = g2 }
cpu:read(0x400000, { gpa = 0x805000 })
cpu:mov_cr3(g2:root(), { violation = "read", l2_gpa = g2:root() })
e:map(g2:root(), 0x800000 + g2:root(), "r")
cpu:resume()
cpu:mov_cr3(g2:root())
cpu:read(0x400000, { gpa = 0x805000 })
expect(e:entry(g2:root(), 1) & 1 << 9 == 0, "a load of PDPTEs does not make their page dirty")
vm:write(0x800000 + g2:root(), 0)
cpu:read(0x400000, { gpa = 0x805000 })           -- registers, not memory
cpu:mov_cr3(g2:root())
cpu:read(0x400000, { pf = "none" })
vm:write(0x800000 + g2:root(), 0x101003)         -- bit 1 is reserved
cpu:mov_cr3(g2:root(), { gp = true })
