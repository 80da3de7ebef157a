-- SPDX-License-Identifier: MIT
--
-- R-27: umbra_vcpu_load() says in root.flush whether translations must go before the guest
-- runs. Under shadow paging a guest's MOV CR3 is such a case: the hardware's CR3 is Umbra's,
-- the tag (VPID) is the same, and the CPU cannot know that the address space has changed. An
-- embedder that forgets it lets process B read process A's memory.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local a = vm:tables("4", { pool = 0x100000, pages = 16 })
local b = vm:tables("4", { pool = 0x120000, pages = 16 })
a:map(0x400000, 0x5000, "wu")
b:map(0x400000, 0x6000, "wu")
local cpu = vm:vcpu()
cpu:start(a)
cpu:write(0x400000, { as = "user", value = 0xa })
cpu:mov_cr3(b:root())
cpu:read(0x400000, { as = "user", gpa = 0x6000 })
vm:omit { root_flush = true }
cpu:mov_cr3(a:root())
cpu:read(0x400000, { as = "user", gpa = 0x6000, bare = "illegal" })
