-- SPDX-License-Identifier: MIT
--
-- umbra_vcpu_translate(): an embedder that emulates an instruction must translate as the CPU
-- would, with the same rights, faults and A/D bits, but in software. Asked without set_ad
-- it only looks.

local vm = umbra.vm { paging = "ept" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "u")
local cpu = vm:vcpu()
cpu:start(g)
cpu:translate(0x400123, { gpa = 0x5123 })
expect(g:entry(0x400000, 1) & 0x20 == 0, "only looked")
cpu:translate(0x400000, { write = true, pf = "P W" })
cpu:translate(0x400000, { as = "user", set_ad = true })
expect(g:entry(0x400000, 1) & 0x20 ~= 0, "accessed")
cpu:set { wp = false }
cpu:translate(0x400000, { write = true, gpa = 0x5000 })
