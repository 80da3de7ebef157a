-- SPDX-License-Identifier: MIT
--
-- G-48, A-11: with CR0.WP=0 the kernel may write pages that are read-only, also those of
-- users. The hardware runs with WP=1 (G-49), so no single entry says "supervisor writes,
-- user reads". Umbra goes back and forth between two: on a supervisor write it makes the
-- page writable and takes U away; on a user access it gives U back and takes W away.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "u")                        -- read-only, user
local cpu = vm:vcpu()
cpu:start(g, { wp = false })
cpu:write(0x400000, { value = 0x11, gpa = 0x5000 })
cpu:entry(0x400000, 1, { writable = true, user = false })
cpu:read(0x400000, { as = "user", value = 0x11, exits = 1 })
cpu:entry(0x400000, 1, { writable = false, user = true })
cpu:write(0x400000, { as = "user", pf = "P W U" })
cpu:write(0x400000, { value = 0x22, exits = 1 })
cpu:set { wp = true }
cpu:write(0x400000, { value = 0x33, pf = "P W" })
