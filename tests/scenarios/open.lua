-- SPDX-License-Identifier: MIT
--
-- Says nothing about paging: the command line may.
local vm = umbra.vm {}
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 7, gpa = 0x5000 })
cpu:read(0x400000, { value = 7, exits = 0 })
