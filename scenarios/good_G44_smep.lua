-- SPDX-License-Identifier: MIT
--
-- G-44: with CR4.SMEP the kernel cannot execute from pages that user programs own. Umbra's
-- tables for a guest with SMEP are of another role than those without, so a guest that
-- turns the bit on gets other tables, not the permissive ones it had.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
g:map(0x401000, 0x6000, "w")
g:map(0x402000, 0x7000, "wun")
local cpu = vm:vcpu()
cpu:start(g)
cpu:fetch(0x400000)
cpu:set { smep = true }
cpu:fetch(0x400000, { pf = "P I" })
cpu:fetch(0x400000, { as = "user" })
cpu:fetch(0x401000)
cpu:read(0x400000)
cpu:fetch(0x402000, { as = "user", pf = "P U I" })
