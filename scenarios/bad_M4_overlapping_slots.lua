-- SPDX-License-Identifier: MIT
--
-- M-4: slots are the embedder's promise of what lies where, and two promises for the same
-- guest page contradict each other. The library says EEXIST and changes nothing; so the
-- first slot goes on to work. Touching is not overlapping.

local vm = umbra.vm { paging = "ept" }
vm:slot { id = 0, base = 0, size = "4M" }
vm:slot { id = 1, base = 0x200000, size = "4M", error = "EEXIST" }
vm:slot { id = 1, base = 0x3ff000, size = "4K", error = "EEXIST" }
vm:slot { id = 1, base = 0x400000, size = "4M" }
local cpu = vm:vcpu()
cpu:start()
cpu:write(0x3ff000, { value = 1, gpa = 0x3ff000 })
cpu:write(0x400000, { value = 2, gpa = 0x400000 })
cpu:read(0x3ff000, { value = 1 })
