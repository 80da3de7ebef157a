-- SPDX-License-Identifier: MIT
--
-- G-35: the CPU sets Accessed (bit 5) in each entry it uses and Dirty (bit 6) in the
-- leaf it writes by. Under shadow paging the hardware sets them in Umbra's tables, which
-- the guest never sees; so Umbra sets them in the guest's when it walks. A guest's swapper
-- depends on it.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
expect(g:entry(0x400000, 1) & 0x60 == 0, "clean at first")
cpu:read(0x400000)
expect(g:entry(0x400000, 1) & 0x60 == 0x20, "accessed, not dirty")
expect(g:entry(0x400000, 4) & 0x60 == 0x20, "accessed all the way down")
cpu:write(0x400000)
expect(g:entry(0x400000, 1) & 0x60 == 0x60, "dirty")
