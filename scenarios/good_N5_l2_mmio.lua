-- SPDX-License-Identifier: MIT
--
-- N-5, N-19: where L2's address leads decides whose it is. L1's EPT maps it to an address where
-- L1 has no memory: a device of the VM's, the embedder's to emulate, and L1 never hears of it.
-- L1's EPT does not map it: a device that L1 emulates for L2, an exit to L1. The same for
-- writes to read-only memory of the VM (L1's ROM), which L1's EPT can map writable.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
vm:slot { id = 1, base = 0x2000000, size = "64K", readonly = true }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x100000, 0x900000, "rw", 1, 32)
e:map(0x5000, 0xfee00000, "rw")                 -- to a device of the VM's
e:map(0x6000, 0x2001000, "rwx")                 -- to the ROM
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "w", 1, 3)
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, guest = g2 }
for i = 1, 2 do
  cpu:read(0x400010, { mmio = 0xfee00010, l2_gpa = 0x5010 })
  cpu:write(0x400010, { mmio = 0xfee00010, value = i })
end
cpu:read(0x401000, { gpa = 0x2001000, value = 0 })
cpu:write(0x401000, { mmio = 0x2001000, value = 1 })
cpu:read(0x401000, { gpa = 0x2001000, value = 0 })
cpu:fetch(0x401000, { gpa = 0x2001000 })
cpu:read(0x402008, { violation = "read GVA FINAL GUEST_W", l2_gpa = 0x7008 })
