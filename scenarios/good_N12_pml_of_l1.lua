-- SPDX-License-Identifier: MIT
--
-- N-12, H-82: L1 uses page-modification logging to learn which pages L2 dirties. When D is set
-- in L1's EPT the page's address goes to L1's log, the index counts down. With the index below
-- 0 there is no room: exit 62 before any flag is set, L1 empties the log and resumes. A page
-- whose D is set is logged no more. Hardware logs nothing of the kind for Umbra's mirror: Umbra
-- sets D, so Umbra writes the log.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0, 0x800000, "rwx", 1, 16)
local LOG = 0x7000
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, pml = LOG, pml_index = 2 }
cpu:read(0x1000)                                -- not dirtied
cpu:write(0x2008, { gpa = 0x802008 })
cpu:write(0x3000, { gpa = 0x803000 })
cpu:write(0x2010, { gpa = 0x802010, exits = 0 })
expect(cpu:nested().pml_index == 0, "two were logged")
cpu:write(0x4000, { gpa = 0x804000 })
cpu:write(0x5000, { pml_full = true })
expect(e:entry(0x5000, 1) & 1 << 9 == 0, "D is not set")
expect(vm:read(LOG + 16) == 0x2000 and vm:read(LOG + 8) == 0x3000 and vm:read(LOG) == 0x4000,
       "the log, from its end")
expect(cpu:nested().pml_index == 0xffff, "no room")

print("-- L1 empties its log, clears D of one page and resumes")
cpu:edit(e, 0x3000, 1, e:leaf(0x803000, "rwxa"))
cpu:invept(1, e)
cpu:resume { pml_index = 511 }
cpu:write(0x5000, { gpa = 0x805000 })
cpu:write(0x3000, { gpa = 0x803000 })
cpu:write(0x4000, { gpa = 0x804000 })
expect(cpu:nested().pml_index == 509, "two again")
expect(vm:read(LOG + 8 * 511) == 0x5000 and vm:read(LOG + 8 * 510) == 0x3000, "these two")
