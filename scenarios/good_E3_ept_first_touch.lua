-- SPDX-License-Identifier: MIT
--
-- E-3: with EPT the guest keeps its own tables, and a second set, Umbra's, leads from
-- guest-physical to host-physical addresses. An entry without R, W and X is not there: the
-- first touch exits with an EPT violation, Umbra maps, the guest goes on. Reading the guest's
-- tables is such a touch as well. Guest page faults do not exit at all.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:entry(0x5000, 0, { present = false })
cpu:write(0x400000, { value = 5, gpa = 0x5000, exits = 5 })   -- 4 tables and the page
cpu:entry(0x5000, 1, { leaf = true, writable = true, executable = true, gpa = 0x5000 })
cpu:read(0x400000, { value = 5, exits = 0 })
cpu:read(0x401000, { pf = "none", exits = 0 })
