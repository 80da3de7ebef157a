-- SPDX-License-Identifier: MIT
--
-- S-42: page tables may also be written by somebody else: a device by DMA, a debugger, an
-- emulator. umbra_vm_write() is the way to do it: it stores the bytes and drops what mirrors
-- them, on all vCPUs. (Writing guest memory behind the library's back is a bug.)

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
vm:write(g:where(0x400000, 1), g:leaf(0x6000, "w"))
cpu:entry(0x400000, 1, { present = false })
cpu:invlpg(0x400000)
cpu:read(0x400000, { gpa = 0x6000 })
vm:write(0x900000, 1, { error = "EFAULT" })
