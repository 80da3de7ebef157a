-- SPDX-License-Identifier: MIT
--
-- H-115: with PCIDs a MOV CR3 with bit 63 set keeps the translations of the new PCID: switching
-- between two processes costs nothing. Umbra keeps the roots of both, and what a process had
-- mapped is there when it comes back, without an exit.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local a = vm:tables("4", { pool = 0x100000, pages = 16 })
local b = vm:tables("4", { pool = 0x120000, pages = 16 })
a:map(0x400000, 0x5000, "w")
b:map(0x400000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(a)
cpu:set { pcide = true }
cpu:mov_cr3(a:root() | 1)
cpu:write(0x400000, { value = 0xa })
cpu:mov_cr3(b:root() | 2)
cpu:write(0x400000, { value = 0xb })
cpu:mov_cr3(a:root() | 1 | 1 << 63)
cpu:read(0x400000, { value = 0xa, exits = 0 })
cpu:mov_cr3(b:root() | 2 | 1 << 63)
cpu:read(0x400000, { value = 0xb, exits = 0 })
