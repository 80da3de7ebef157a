-- SPDX-License-Identifier: MIT
--
-- A-15, F-30: four levels of EPT translate 48 bits, but this CPU has 52 physical ones. An
-- embedder who puts a slot at 1 << 48 and runs with four levels offers memory that no
-- table can reach. Umbra says so at once; if the embedder insists, as KVM lets it, the library
-- must not map it modulo 2^48 (that would be another guest page!): the access ends as a
-- memory fault, told to the embedder. GPA 0 is not touched.

local vm = umbra.vm { paging = "ept", levels = 4, maxphyaddr = 52, page = "4k" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 1 << 48, size = "64K", error = "EUNMAPPABLE" }
vm:slot { id = 1, base = 1 << 48, size = "64K", unmappable = true }
local g = vm:tables("4")
g:map(0x400000, 1 << 48, "w")
g:map(0x401000, 0, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 1, memory_fault = 1 << 48, bare = "illegal" })
cpu:read(0x401000, { gpa = 0, value = 0 })
