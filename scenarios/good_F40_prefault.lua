-- SPDX-License-Identifier: MIT
--
-- F-40, F-42: an embedder may have guest memory mapped before the guest runs. Progress is
-- reported by what is left of the range: a hole in the slots ends it half-way, and the next
-- call says why. Pages get mapped for reading and, since the slot allows it, for writing,
-- in large pages where they fit; the guest then runs without exits.

local vm = umbra.vm { paging = "npt", page = "2m" }
vm:slot { base = 0, size = "3M" }
vm:slot { id = 1, base = 8 << 20, size = "64K", readonly = true }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
g:map(0x600000, 0x200000, "w")
g:map(0x800000, 8 << 20, "w")
local cpu = vm:vcpu()

vm:mark()
cpu:prefault(0, 4 << 20, { left = "1M" })
cpu:prefault(3 << 20, 1 << 20, { error = "ENOENT" })
cpu:prefault(8 << 20, 0x10000)
cpu:prefault(8 << 20, 0x10000)                       -- nothing is left to do
vm:counts { pages_2m = 1, pages_4k = 256 + 16, pf_taken = 0, pf_fixed = 1 + 256 + 16 }
cpu:start(g)
cpu:write(0x400000, { value = 1, gpa = 0x5000, exits = 0 })
cpu:write(0x600000, { value = 2, gpa = 0x200000, exits = 0 })
cpu:read(0x800000, { gpa = 8 << 20, exits = 0 })
cpu:write(0x800000, { mmio = 8 << 20 })
cpu:prefault(0x5001, 0x1000, { error = "EINVAL" })
cpu:prefault(0x5000, 0, { error = "EINVAL" })
