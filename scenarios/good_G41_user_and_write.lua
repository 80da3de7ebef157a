-- SPDX-License-Identifier: MIT
--
-- G-41, G-42: a user access needs U in every entry on the way, a write needs W in every
-- entry (a supervisor's too while CR0.WP=1). Rights that an upper entry takes away cannot
-- come back below. The error code says what was tried and that the page is there (P).

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "")
g:map(0x401000, 0x6000, "wu")
g:map(0x600000, 0x7000, "wu")
g:entry(0x600000, 2, g:entry(0x600000, 2) & ~6)     -- the table above: no W, no U
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000)
cpu:write(0x400000, { pf = "P W" })
cpu:read(0x400000, { as = "user", pf = "P U" })
cpu:write(0x401000, { as = "user", gpa = 0x6000 })
cpu:write(0x600000, { as = "user", pf = "P W U" })
cpu:write(0x600000, { pf = "P W" })
cpu:read(0x600000, { gpa = 0x7000 })
