-- SPDX-License-Identifier: MIT
--
-- G-5: in long mode an address must be canonical: its unused upper bits equal the top one that is
-- used. An access elsewhere is #GP before any table is looked at, so no hypervisor sees it;
-- INVLPG of such an address does nothing. Umbra must not mask the bits away and flush
-- or walk another address.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000)
cpu:read(0x1000000400000, { gp = true, exits = 0 })
cpu:invlpg(0x1000000400000)
cpu:entry(0x400000, 1, { present = true })
cpu:translate(0x400000, { gpa = 0x5000 })
