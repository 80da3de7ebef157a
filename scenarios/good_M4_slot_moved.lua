-- SPDX-License-Identifier: MIT
--
-- M-4: a slot may move: the same host memory appears at another guest-physical address, and
-- no longer at the old one. A guest does this with its PCI BARs. Entries for both places
-- must go, or a device's memory is seen twice.

local vm = umbra.vm { paging = "ept" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x40000000, size = "4M" }
local cpu = vm:vcpu()
cpu:start()
cpu:write(0x40000000, { value = 0x77 })
vm:slot { id = 1, base = 0x50000000, size = "4M" }
cpu:read(0x40000000, { mmio = 0x40000000 })
cpu:read(0x50000000, { value = 0x77 })
