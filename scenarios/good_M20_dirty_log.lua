-- SPDX-License-Identifier: MIT
--
-- M-20 to M-23: an embedder that migrates a guest asks which pages it has written. In a slot that
-- is logged pages are mapped by 4K and without W; the first write faults, marks its page
-- and gets W. Reading the log takes the marks: W goes again, and a flush reaches what
-- TLBs remember, else the next write would go unseen. What the library writes itself - for
-- an emulator, or A and D bits in page tables under shadow paging (G-37) - is marked, too.

local vm = umbra.vm { paging = "ept", page = "2m" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wad", 1, 4)
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 1, gpa = 0x5000 })     -- a large page, writable
vm:slot { base = 0, size = "4M", log = true }
vm:dirty(0, { marked = "" })
cpu:read(0x401000, { gpa = 0x6000 })
cpu:write(0x401000, { value = 2 })
cpu:write(0x401008, { value = 3, exits = 0 })        -- once is enough
vm:write(0x7000, 4)                                  -- a device
vm:dirty(0, { marked = "0x6 0x7 0x100 0x101 0x102 0x104" }) -- hardware's walk needs W for tables
cpu:read(0x401000, { value = 2, exits = 4 })         -- the tables' pages again
cpu:write(0x401000, { value = 5, exits = 1 })        -- seen again
vm:dirty(0, { marked = "0x6 0x100 0x101 0x102 0x104" })
vm:slot { base = 0, size = "4M" }
vm:dirty(0, { error = "ENOENT" })

-- Shadow paging: Umbra sets A in the guest's tables, here pages from 0x100 on.
vm = umbra.vm { paging = "shadow", manual_dirty = 1 }
vm:slot { base = 0, size = "4M", log = true }
g = vm:tables("4")
g:map(0x400000, 0x5000, "w", 1, 2)
cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000)
local tables = vm:dirty(0)
cpu:write(0x401000, { value = 1 })
vm:clear_dirty(0, 0, 64)                             -- pages below 0x40: not the tables'
expect(vm:dirty(0) == tables, "the tables keep their marks")
cpu:write(0x401000, { value = 2, exits = 1 })
vm:clear_dirty(0, 1, 64, { error = "EINVAL" })
vm:clear_dirty(0, 0, 63, { error = "EINVAL" })
