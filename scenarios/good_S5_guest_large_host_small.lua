-- SPDX-License-Identifier: MIT
--
-- S-5: a 2 MiB page of the guest over host memory of 4 KiB pages: the guest's one entry
-- becomes a table of Umbra's, a direct one that mirrors nothing. Its rights are the
-- guest leaf's. When the guest takes W away, the direct table for the old rights must
-- not be used any more.

local vm = umbra.vm { paging = "shadow", page = "4k" }
vm:slot { base = 0, size = "8M" }
local g = vm:tables("4")
g:map(0x400000, 0x400000, "w", 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x412000, { value = 1, gpa = 0x412000, level = 1 })
cpu:entry(0x412000, 2, { present = true, leaf = false })
cpu:edit(g, 0x400000, 2, g:leaf(0x400000, "", 2))
cpu:invlpg(0x412000)
cpu:write(0x412000, { value = 2, pf = "P W" })
cpu:read(0x412000, { value = 1 })
