-- SPDX-License-Identifier: MIT
--
-- A-18: a vCPU may fault on a page that is mapped by now, because another one was quicker or
-- because its TLB is behind. Here both vCPUs have read a clean page, so both TLBs say
-- read-only. vCPU 0 writes, and the entry becomes writable; that needs no flush, since a
-- CPU with too few rights just asks again. vCPU 1 does, when it writes: a spurious
-- fault. Umbra finds nothing to do and the guest goes on. (AMD looks at memory once more
-- before it faults, H-120.)

local vm = umbra.vm { paging = "shadow", vendor = "intel" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local one, two = vm:vcpu(), vm:vcpu()
one:start(g)
two:start(g)
one:read(0x400000, { exits = 1 })
two:read(0x400000, { exits = 0 })
vm:mark()
one:write(0x400000, { value = 1, exits = 1 })
two:write(0x400000, { value = 2, exits = 1, verdict = "resume" })
vm:counts { pf_taken = 2, pf_spurious = 1 }
one:read(0x400000, { value = 2, exits = 0 })
