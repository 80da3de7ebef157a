-- SPDX-License-Identifier: MIT
--
-- H-104: INVLPG works on the CPU that executes it. A guest kernel that changes a mapping must
-- tell its other CPUs (a TLB shootdown). Here it does not: vCPU 1 goes on with the old page
-- after vCPU 0 has flushed. That is legal; only after vCPU 1's own INVLPG must it be over.
-- With EPT Umbra has no part in it.

local vm = umbra.vm { paging = "ept" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local one, two = vm:vcpu(), vm:vcpu()
one:start(g)
two:start(g)
two:write(0x400000, { value = 5 })
one:edit(g, 0x400000, 1, g:leaf(0x6000, "w"))
one:invlpg(0x400000)
one:read(0x400000, { gpa = 0x6000 })
two:read(0x400000, { gpa = 0x5000, bare = "stale" })
two:invlpg(0x400000)
two:read(0x400000, { gpa = 0x6000 })
