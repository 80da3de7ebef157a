-- SPDX-License-Identifier: MIT
--
-- G-30: a guest whose entry leads to a table where no memory is. On a bus such a read
-- gives ones, so a bare CPU finds a present entry full of reserved bits. Umbra, as KVM
-- does, reports "not present": it has no bus to ask. This is one of the few differences
-- from bare hardware that are wanted (docs/DEVIATIONS.md), and no sane guest sees it.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
g:entry(0x400000, 2, 0x3fffff000 | 7)
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { pf = "none", bare = "illegal" })
