-- SPDX-License-Identifier: MIT
--
-- A-15: four levels of EPT translate 48 bits of guest-physical address. A CPU with more
-- physical bits and 5-level EPT reaches the rest; a guest access above 48 bits is then an
-- ordinary one. Where there is no slot it is MMIO with either.

local vm = umbra.vm { paging = "ept", levels = 5, maxphyaddr = 52, page = "4k" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 1 << 48, size = "64K" }
local g = vm:tables("4")
g:map(0x400000, 1 << 48, "w")
g:map(0x401000, 1 << 50, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 1, gpa = 1 << 48 })
cpu:entry(1 << 48, 5, { present = true, leaf = false })
cpu:read(0x401000, { mmio = 1 << 50 })
