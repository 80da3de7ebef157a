-- SPDX-License-Identifier: MIT
--
-- G-1: without paging (CR0.PG=0) a linear address is a guest-physical address, and
-- nothing is forbidden. The hardware still needs tables: Umbra makes direct ones in
-- PAE format, in which each page leads straight to its slot (with large pages where
-- host memory has them). Addresses without a slot are MMIO.

local vm = umbra.vm { paging = "shadow", page = "1g" }
vm:slot { base = 0, size = "4M" }
local cpu = vm:vcpu()
cpu:start()
cpu:write(0x5000, { value = 0x1234, gpa = 0x5000, level = 2 })
cpu:read(0x5000, { value = 0x1234, exits = 0 })
cpu:fetch(0x6000, { gpa = 0x6000, exits = 0 })
cpu:entry(0x5000, 0, { leaf = true, level = 2, writable = true, gpa = 0 })
cpu:read(0xfee00000, { mmio = 0xfee00000 })
