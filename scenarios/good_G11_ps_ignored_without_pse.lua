-- SPDX-License-Identifier: MIT
--
-- G-11: bit 7 of a page directory entry means "large page" only when CR4.PSE is set.
-- Without it the bit is ignored, and the entry leads to a page table as ever. A walker
-- that looks at the bit alone maps the guest's page table as if it were data.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("32")
g:map(0x400000, 0x5000, "wu")
g:entry(0x400000, 2, g:entry(0x400000, 2) | 0x80)   -- PS, but CR4.PSE=0
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
cpu:set { pse = true }                               -- now it is a 4M page, and bits 20:13
cpu:read(0x400000, { mmio = 0x8100000000 })          -- are address bits 39:32 (PSE-36)
