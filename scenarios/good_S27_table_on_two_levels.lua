-- SPDX-License-Identifier: MIT
--
-- S-27: one guest page may be a last-level table on one way and an upper table on another (kernels
-- map their page tables like that: a "recursive" entry that points to the root itself). As a
-- last-level table it might go unsync, as an upper one it must not: an upper mirror for a page
-- ends the other's laxness, and writes to it are seen at once.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
g:entry(511 << 39, 4, g:root() | 3)              -- recursive: L4[511] is the root
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
-- The last-level entry of 0x400000 lies at (-1 << 39) + (0x400 << 3).
local pte = (-1 << 39) + (0x400 << 3)
cpu:read(pte, { gpa = g:where(0x400000, 1) })
cpu:write(pte, { value = g:leaf(0x6000, "w") })
cpu:invlpg(0x400000)
cpu:read(0x400000, { gpa = 0x6000 })
