-- SPDX-License-Identifier: MIT
--
-- G-3: five levels translate 57 bits of linear address, four 48. The same CPU with CR4.LA57
-- off raises #GP for an address that needs them; with it on, the upper half begins at
-- 0xff00'0000'0000'0000. Umbra's tables get five levels only for such a guest.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("5")
g:map(0x12345678000000, 0x5000, "w")
g:map(0xff00000000000000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x12345678000000, { gpa = 0x5000 })
cpu:read(0xff00000000000000, { gpa = 0x6000 })
cpu:entry(0x12345678000000, 5, { present = true, leaf = false })
local h = vm:tables("4", { pool = 0x200000 })
cpu:start(h)
cpu:read(0x12345678000000, { gp = true })
