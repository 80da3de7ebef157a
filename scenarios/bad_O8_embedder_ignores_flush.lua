-- SPDX-License-Identifier: MIT
--
-- O-8: umbra_host_flush() is not a hint. Here an embedder ignores it, and then deletes a
-- slot. The tables are right, but the CPU still has the old translation and reads host
-- memory that is not the guest's any more: in a real hypervisor it may belong to another VM by
-- now. The manuals' hostile CPU shows at once what a real one shows once a week.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x40000000, size = "64K" }
local cpu = vm:vcpu()
cpu:start()
cpu:write(0x40000000, { value = 0x5ec4e7 })
vm:omit { flush = true }
vm:slot { id = 1, size = 0 }
cpu:entry(0x40000000, 0, { present = false })
cpu:read(0x40000000, { escaped = true, value = 0x5ec4e7, bare = "illegal" })
