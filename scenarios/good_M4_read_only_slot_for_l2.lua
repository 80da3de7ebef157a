-- SPDX-License-Identifier: MIT
--
-- M-4, P-3: read-only memory of the VM, which L1's NPT maps writable. L2 can read it like L1; a
-- write is the embedder's to emulate, as on a bus. L2's CR3 may even point there: under NPT
-- each walk of a page table is a write, which Umbra cannot map, and entering L2 again would
-- never end. So the embedder carries the instruction out, and Umbra's walk in software finds
-- what the CPU would have.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
vm:slot { id = 1, base = 0x2000000, size = "64K", readonly = true }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x100000, 0x900000, "wu", 1, 32)
n:map(0x5000, 0x2000000, "wu", 1, 2)
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n, guest = g2 }
cpu:read(0x400000, { gpa = 0x2000000, as = "user" })
cpu:write(0x400000, { mmio = 0x2000000, as = "user", value = 1 })
cpu:entry(0x5000, 1, { present = true, writable = false, gpa = 0x2000000 })
cpu:mov_cr3(0x6000)                              -- zeros
cpu:read(0x400000, { pf = "U", as = "user", verdict = "mmio" })
cpu:mov_cr3(g2:root())
cpu:read(0x400000, { gpa = 0x2000000, as = "user" })
