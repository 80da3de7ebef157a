-- SPDX-License-Identifier: MIT
--
-- M-40, F-24: a page of such a slot has two memories, one shared with the embedder and one that is
-- private, and shows one of them. When its attribute changes, what maps it goes at once, and
-- the next access finds the other memory, with what was left there. A large page is used
-- only where all of it is alike. Private pages of a slot without private memory are a
-- memory fault, for the embedder to resolve.

local vm = umbra.vm { paging = "ept", page = "2m", private = true }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 4 << 20, size = "4M", private = true }
local g = vm:tables("4")
g:map(0x400000, 4 << 20, "w", 2)
g:map(0x600000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)

cpu:write(0x400000, { value = 1, gpa = 4 << 20 })
cpu:entry(4 << 20, 2, { leaf = true })               -- all of it is shared
vm:attributes(4 << 20, 0x1000, "private")
cpu:entry(4 << 20, 2, { present = false })
cpu:read(0x400000, { value = 0, gpa = 4 << 20 })     -- the other memory
cpu:write(0x400000, { value = 2 })
cpu:read(0x401000, { gpa = (4 << 20) + 0x1000 })
cpu:entry(4 << 20, 1, { leaf = true, writable = true })
vm:attributes(4 << 20, 0x1000, "shared")
cpu:read(0x400000, { value = 1 })
vm:attributes(4 << 20, 2 << 20, "private")
cpu:read(0x400000, { value = 2 })
cpu:read(0x5ff000, { value = 0 })

-- In slot 0 there is no private memory; nowhere is there any without a slot.
vm:attributes(0x5000, 0x1000, "private")
cpu:read(0x600000, { memory_fault = 0x5000, bare = "illegal" })
vm:attributes(0x5000, 0x1000, "shared")
cpu:read(0x600000, { gpa = 0x5000 })
vm:attributes(0x5000, 0x800, "private", { error = "EINVAL" })
