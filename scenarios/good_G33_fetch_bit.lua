-- SPDX-License-Identifier: MIT
--
-- G-33: bit 4 of a page fault's error code says "instruction fetch", but only on a
-- CPU that can tell: with EFER.NXE or CR4.SMEP on. Without both it stays clear, as on
-- processors that knew no such bit. Under shadow paging the hardware runs with NXE=1
-- always (G-49), so its code must be translated before the guest gets it.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
local cpu = vm:vcpu()
cpu:start(g, { nxe = true })
cpu:fetch(0x400000, { pf = "I" })
cpu:set { nxe = false }
cpu:fetch(0x400000, { pf = "none" })
cpu:set { smep = true }
cpu:fetch(0x400000, { as = "user", pf = "U I" })
