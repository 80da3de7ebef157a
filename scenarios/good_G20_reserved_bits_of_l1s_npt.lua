-- SPDX-License-Identifier: MIT
--
-- G-20, P-4: what is reserved in L1's NPT depends on L1's CPU and on L1's registers at VMRUN:
-- address bits beyond L1's MAXPHYADDR, NX with L1's EFER.NXE clear, bit 7 of a directory entry
-- of L1's top levels. The exit says RSVD, like a #PF. With NXE set the same entry just cannot
-- be executed from.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x5000, 0x805000, "wun")
n:map(0x6000, 0x806000 | 1 << 41, "wu")
local cpu = vm:vcpu { maxphyaddr = 40 }
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x5000, { gpa = 0x805000 })
cpu:fetch(0x5000, { npf = "P U I FINAL" })
cpu:resume()
cpu:read(0x6000, { npf = "P U RSVD FINAL" })
cpu:set { nxe = false }
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { npf = "P U RSVD FINAL" })
cpu:set { nxe = true }
cpu:edit(n, 0x5000, 4, n:entry(0x5000, 4) | 0x80)
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { npf = "P U RSVD FINAL" })
