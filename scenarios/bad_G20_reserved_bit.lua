-- SPDX-License-Identifier: MIT
--
-- G-20, G-21: address bits at and above MAXPHYADDR must be 0 in a present entry. The
-- hardware below has 46 bits and would not mind bit 40, but this guest is told 40 bits:
-- Umbra walks by the guest's CPUID and reports the fault that the guest's own CPU would, with
-- RSVD and P in the error code. In an entry that is not present the bits are free.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
g:entry(0x400000, 1, g:entry(0x400000, 1) | 1 << 40)
g:map(0x600000, 0x6000, "wu")
g:entry(0x600000, 2, g:entry(0x600000, 2) | 1 << 45)
local cpu = vm:vcpu { maxphyaddr = 40 }
cpu:start(g)
cpu:read(0x400000, { pf = "P RSVD" })
cpu:write(0x400000, { as = "user", pf = "P RSVD W U" })
cpu:read(0x600000, { pf = "P RSVD" })
g:entry(0x400000, 1, 1 << 40)
cpu:read(0x400000, { pf = "none" })
