-- SPDX-License-Identifier: MIT
--
-- S-63, S-62: the VM loses memory that L1 has given to L2. L1's EPT still maps it; the mirror
-- must not: what leads to the memory goes at once, on all CPUs, and L2's next access finds a
-- device. The same when all tables are dropped: the mirror is made anew from L1's EPT, which
-- nobody has touched.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
vm:slot { id = 1, base = 0x2000000, size = "1M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x2005000, "rwx")
e:map(0x6000, 0x806000, "rwx")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e }
cpu:write(0x5000, { value = 7, gpa = 0x2005000 })
cpu:write(0x6000, { value = 8, gpa = 0x806000 })
vm:slot { id = 1, size = 0 }
cpu:read(0x5000, { mmio = 0x2005000 })
cpu:read(0x6000, { value = 8 })
vm:slot { id = 2, base = 0x2000000, size = "1M" }
cpu:read(0x5000, { gpa = 0x2005000, value = 0 })
vm:zap()
cpu:read(0x6000, { value = 8, exits = 1 })
vm:mark()
vm:shrink(100)
cpu:read(0x6000, { value = 8 })
