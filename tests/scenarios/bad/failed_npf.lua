-- 1: expected exit to L1: NPF 0x100000005 (P U FINAL), saw exit to L1: NPF 0x100000004
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x5000, 0x805000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x6000, { npf = "P U FINAL" })
