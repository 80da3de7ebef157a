-- SPDX-License-Identifier: MIT
--
-- S-42: a 4 MiB page of a 2-level guest is two 2 MiB entries of Umbra's. When the guest
-- writes its one directory entry, both must go, also the one whose half was not
-- touched lately.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("32pse")
g:map(0x800000, 0x400000, "w", 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x800000, { gpa = 0x400000 })
cpu:read(0xa00000, { gpa = 0x600000 })
cpu:edit(g, 0x800000, 2, g:leaf(0xc00000, "w", 2))
cpu:entry(0x800000, 2, { present = false })
cpu:entry(0xa00000, 2, { present = false })
cpu:invlpg(0x800000)
cpu:read(0xa00000, { gpa = 0xe00000 })
cpu:read(0x800000, { gpa = 0xc00000 })
