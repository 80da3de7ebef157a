-- SPDX-License-Identifier: MIT
--
-- A-18: two vCPUs touch the same page at the same time and both exit. The first fault maps it,
-- the second finds it mapped: spurious, nothing is changed, the guest goes on. With shared tables
-- the second vCPU usually does not even exit.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "4M" }
local one, two = vm:vcpu(), vm:vcpu()
one:start()
two:start()
one:write(0x5000, { value = 1, exits = 1 })
two:read(0x5000, { value = 1, exits = 0 })
vm:counts { pages_4k = 1 }
