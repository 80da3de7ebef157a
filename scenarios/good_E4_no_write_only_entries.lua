-- SPDX-License-Identifier: MIT
--
-- E-4: an EPT entry with W but not R is a misconfiguration: the CPU does not report a
-- violation but a broken table, and no repair is expected. Umbra never writes such an
-- entry for memory, whatever is taken away from a page: a read-only slot loses W and
-- keeps R, and the guest's writes become MMIO exits.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x40000000, size = "64K", readonly = true }
local cpu = vm:vcpu()
cpu:start()
cpu:write(0x40000000, { mmio = 0x40000000 })
cpu:read(0x40000000, { gpa = 0x40000000 })
cpu:entry(0x40000000, 1, { present = true, writable = false, executable = true })
cpu:write(0x40000000, { mmio = 0x40000000, value = 7 })
cpu:read(0x40000000, { value = 0, exits = 0 })
