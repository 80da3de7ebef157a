-- SPDX-License-Identifier: MIT
--
-- S-28, H-132: INVPCID flushes for a PCID that need not be the current one: one address (type
-- 0), all of one PCID (1), everything with (2) or without (3) global pages. With shadow
-- paging roots of other PCIDs that Umbra keeps must follow. A PCID beyond 4095, or a
-- type beyond 3, is #GP.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local a = vm:tables("4", { pool = 0x100000, pages = 32 })
local b = vm:tables("4", { pool = 0x130000, pages = 16 })
a:map(0x400000, 0x5000, "w")
b:map(0x400000, 0x6000, "w")
b:map(0x200000000, a:where(0x400000, 1) & ~0xfff, "w")   -- b can write a's table
local cpu = vm:vcpu()
cpu:start(a)
cpu:set { pcide = true }
cpu:mov_cr3(a:root() | 1)
cpu:write(0x400000, { gpa = 0x5000 })
cpu:mov_cr3(b:root() | 2)
cpu:write(0x200000000 + (a:where(0x400000, 1) & 0xfff), { value = a:leaf(0x7000, "w") })
cpu:invpcid { type = 0, pcid = 1, gva = 0x400000 }
cpu:mov_cr3(a:root() | 1 | 1 << 63)                      -- keep PCID 1's translations
cpu:read(0x400000, { gpa = 0x7000 })
cpu:invpcid { type = 1, pcid = 4096, gp = true }
cpu:invpcid { type = 4, gp = true }
cpu:invpcid { type = 2 }
