-- SPDX-License-Identifier: MIT
--
-- G-45: with CR4.SMAP the kernel cannot read or write user pages, unless it says that it
-- means it: RFLAGS.AC=1 (STAC). Implicit accesses - to descriptor tables, say - are the
-- supervisor's whatever AC says. Fetches are SMEP's business.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g, { smap = true })
cpu:read(0x400000, { pf = "P" })
cpu:read(0x400000, { as = "ac", gpa = 0x5000 })
cpu:write(0x400000, { as = "ac", gpa = 0x5000 })
cpu:write(0x400000, { pf = "P W" })
cpu:read(0x400000, { as = "implicit ac", pf = "P" })
cpu:read(0x400000, { as = "user" })
cpu:fetch(0x400000)
