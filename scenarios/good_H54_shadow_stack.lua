-- SPDX-License-Identifier: MIT
--
-- H-54: with CET a page with W=0 and D=1 is a shadow stack: only CALL, RET and their kin may
-- access it, ordinary stores fault. In Umbra's leaves D=1 without W must therefore
-- appear for the guest's shadow-stack pages only.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "uad")          -- W=0, D=1
g:map(0x401000, 0x6000, "ua")           -- plainly read-only
local cpu = vm:vcpu()
cpu:start(g, { cet = true })
cpu:read(0x400000, { as = "user shstk" })
cpu:write(0x400000, { as = "user shstk", value = 5 })
cpu:write(0x400000, { as = "user", pf = "P W U" })
cpu:read(0x401000, { as = "user" })
cpu:read(0x401000, { as = "user shstk", pf = "P U SS" })
