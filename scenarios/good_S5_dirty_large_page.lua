-- SPDX-License-Identifier: MIT
--
-- S-5, G-38: a 2 MiB page of the guest that is writable but clean is mapped read-only, by a direct
-- table whose role says so. The first write sets D in the guest's entry and wants another direct
-- table, one with W. The old one may not be followed (S-6): its role, which later faults
-- and the sync trust, would be wrong. After the change reads and writes go on without exits.

local vm = umbra.vm { paging = "shadow", page = "4k" }
vm:slot { base = 0, size = "8M" }
local g = vm:tables("4")
g:map(0x400000, 0x400000, "wu", 2)
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x401000, { gpa = 0x401000 })
cpu:entry(0x401000, 1, { writable = false })
vm:mark()
cpu:write(0x402000, { value = 1, gpa = 0x402000 })
vm:traced { get_page = 1 }                      -- another table
cpu:entry(0x402000, 1, { writable = true })
cpu:entry(0x401000, 1, { present = false })     -- the old one is out of the way
cpu:read(0x401000, { exits = 1 })
cpu:write(0x401000, { value = 2, exits = 0 })
cpu:set { wp = false }
cpu:write(0x401000, { value = 3, as = "user" })
