-- SPDX-License-Identifier: MIT
--
-- O-11: two vCPUs of one VM with different CPUID share the guest's page tables, but an entry
-- with address bit 41 is fine for one and has a reserved bit for the other. KVM's shadow pages
-- do not know for whom they were made; in Umbra the guest's MAXPHYADDR is part of the role, so
-- the second vCPU gets its #PF although the first has the page mapped.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 1 << 41, size = "64K" }
local g = vm:tables("4")
g:map(0x400000, 1 << 41, "w")
local wide, narrow = vm:vcpu { maxphyaddr = 46 }, vm:vcpu { maxphyaddr = 40 }
wide:start(g)
narrow:start(g)
wide:write(0x400000, { gpa = 1 << 41 })
narrow:read(0x400000, { pf = "P RSVD" })
wide:read(0x400000, { exits = 0 })
