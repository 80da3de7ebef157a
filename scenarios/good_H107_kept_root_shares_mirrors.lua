-- SPDX-License-Identifier: MIT
--
-- H-107: what one PCID could cache is nothing that another may use. Two processes share a page
-- table (their kernel's, say), which Umbra mirrors once for both roots. While PCID 2 runs, it maps
-- a page there, uses it and maps another one instead, without a flush: for PCID 2 the old page is
-- fine. PCID 1 comes back with bit 63, keeping its translations (H-115), but it has none of this
-- address. Umbra sees that the mirror got something while PCID 1 was away, and looks again.
-- A MOV CR3 of PCID 1 without bit 63 ends its translations below any root (H-112).

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "8M" }
local a = vm:tables("4", { pool = 0x100000, pages = 16 })
a:map(0x401000, 0x7000, "w")
local b = vm:tables("4", { pool = 0x120000, pages = 16, window = false })
b:map(0x800000, 0x8000, "w")
-- Both roots lead to the same tables; a third root has its own.
local shared = a:entry(0x400000, 4)
local other = 0x140000
vm:write(other, shared, { size = 8 })

local cpu = vm:vcpu()
cpu:start(a)
cpu:set { pcide = true }
cpu:mov_cr3(a:root() | 1)
cpu:write(0x401000, { value = 1 })

cpu:mov_cr3(other | 2)
cpu:edit(a, 0x400000, 1, a:leaf(0x5000, "w"))
cpu:write(0x400000, { gpa = 0x5000, value = 2 })
cpu:edit(a, 0x400000, 1, a:leaf(0x6000, "w"))
cpu:read(0x400000, { gpa = 0x5000, value = 2, bare = "stale" })
vm:mark()
cpu:mov_cr3(a:root() | 1 | 1 << 63)
cpu:read(0x400000, { gpa = 0x6000, exits = 1 })

-- Left alone, a stale entry of PCID 1 stays: it may ...
cpu:edit(a, 0x400000, 1, a:leaf(0x5000, "w"))
cpu:mov_cr3(b:root() | 2)
cpu:read(0x800000)
cpu:mov_cr3(a:root() | 1 | 1 << 63)
cpu:read(0x400000, { gpa = 0x6000, exits = 0, bare = "stale" })
-- ... until PCID 1 is flushed, whatever the root.
cpu:mov_cr3(b:root() | 1)
cpu:mov_cr3(a:root() | 1 | 1 << 63)
cpu:read(0x400000, { gpa = 0x5000, exits = 1 })
