-- SPDX-License-Identifier: MIT
--
-- M-4, P-3: L2's page tables in read-only memory of the VM. Under NPT each walk of them is a
-- write, so it would never end if Umbra only mapped what the slot allows: the write to
-- read-only memory is MMIO for the embedder. Data in such memory L2 can read like L1, whatever
-- L1's NPT promises.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
vm:slot { id = 1, base = 0x2000000, size = "64K", readonly = true }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x100000, 0x900000, "wu", 1, 32)
n:map(0x5000, 0x2000000, "wu")
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n, guest = g2 }
cpu:read(0x400000, { gpa = 0x2000000, as = "user" })
cpu:write(0x400000, { mmio = 0x2000000, as = "user", value = 1 })
cpu:entry(0x5000, 1, { present = true, writable = false, gpa = 0x2000000 })
