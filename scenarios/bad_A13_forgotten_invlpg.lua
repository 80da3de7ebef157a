-- SPDX-License-Identifier: MIT
--
-- A-13: a guest kernel takes W away from a page (to make it copy-on-write) and forgets
-- INVLPG. A CPU may go on using the translation that it has: writes still go through, and
-- the copy is not made. On a friendly machine the bug hides; on this one, which keeps
-- all that it may, it shows. Umbra adds no flush of its own to cover for the guest:
-- the manuals allow what happens here ("stale").

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { as = "user", value = 1 })
cpu:edit(g, 0x400000, 1, g:leaf(0x5000, "uad"))
cpu:write(0x400000, { as = "user", value = 2, gpa = 0x5000, bare = "stale" })
cpu:invlpg(0x400000)
cpu:write(0x400000, { as = "user", value = 3, pf = "P W U" })
