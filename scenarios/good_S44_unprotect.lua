-- SPDX-License-Identifier: MIT
--
-- S-44: the embedder is told to emulate a write to a page table, but its emulator does not
-- know the instruction (a vector store, say). umbra_vm_unprotect() forgets that there is a
-- table: the guest is entered again and does the write itself.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x40000000, 0x7000, "w")          -- another level 2 table than the window's
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x40000000, { gpa = 0x7000 })
cpu:edit(g, 0x40200000, 2, 0x8000, { verdict = "emulate" })
expect(vm:unprotect(g:where(0x40000000, 2)), "there was a table")
cpu:edit(g, 0x40200000, 2, 0x9000, { verdict = "resume" })
cpu:edit(g, 0x40200000, 2, 0, { exits = 0 })
cpu:read(0x40000000, { gpa = 0x7000 })
expect(not vm:unprotect(0x5000), "no table there")
