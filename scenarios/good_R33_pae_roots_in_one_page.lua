-- SPDX-License-Identifier: MIT
--
-- R-33: a PAE root has 32 bytes, so 128 of them fit in one guest page. Two address spaces
-- whose CR3 differ only in bits 11:5 share the frame number. A cache of roots that looks at
-- the frame alone gives one guest process the memory of another; Umbra's identity of a
-- PAE root includes the four PDPTE values.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local a = vm:tables("pae", { pool = 0x110000, root = 0x10f000, pages = 8 })
local b = vm:tables("pae", { pool = 0x120000, root = 0x10f020, pages = 8 })
a:map(0x400000, 0x5000, "w")
b:map(0x400000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(a)
cpu:read(0x400000, { gpa = 0x5000 })
cpu:mov_cr3(b:root())
cpu:read(0x400000, { gpa = 0x6000 })
cpu:mov_cr3(a:root())
cpu:read(0x400000, { gpa = 0x5000, exits = 0 })
