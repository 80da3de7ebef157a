-- SPDX-License-Identifier: MIT
--
-- S-20: a guest may write its last-level page tables without an exit each time.
--
-- The first write to a mirrored table faults once: the mirror goes "unsync", the page
-- becomes writable, and Umbra stops following it. A CPU's TLB would lag behind in
-- the same way, so the guest cannot complain: until it executes INVLPG the old
-- translation may be used, as on real hardware. With INVLPG Umbra looks at that one
-- entry again, and the next access goes to the new page.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)

cpu:write(0x400000, { value = 0x55, gpa = 0x5000 })
vm:mark()
cpu:edit(g, 0x400000, 1, g:leaf(0x6000, "w"), { exits = 1 })   -- goes unsync
cpu:edit(g, 0x401000, 1, g:leaf(0x7000, "w"), { exits = 0 })   -- no exit any more
vm:counts { mmu_unsync = 1, pf_emulate = 0 }

cpu:read(0x400000, { gpa = 0x5000, value = 0x55, exits = 0, bare = "stale" })
cpu:invlpg(0x400000)
cpu:read(0x400000, { gpa = 0x6000, exits = 1 })
