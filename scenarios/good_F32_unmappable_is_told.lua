-- SPDX-License-Identifier: MIT
--
-- F-30 to F-32, O-1: how wide a guest-physical address may be is a matter of the root's levels:
-- 32 bits with the three of a PAE host, 48 with four, 52 with five. A slot beyond is told to the
-- embedder when it is made, and a prefault of it before anything is mapped; what the guest
-- then finds there is a memory fault, and MMIO where there is no slot. Five levels need none
-- of this, nor does shadow paging, whose tables translate linear addresses.

for _, host in ipairs { { "npt", 3, 32 }, { "npt", 4, 48 }, { "ept", 4, 48 } } do
	local vm = umbra.vm { paging = host[1], levels = host[2], maxphyaddr = 52, page = "4k" }
	local edge = 1 << host[3]
	vm:slot { base = 0, size = "4M" }
	vm:slot { id = 1, base = edge - 0x1000, size = "8K", error = "EUNMAPPABLE" }
	vm:slot { id = 1, base = edge - 0x1000, size = "8K", unmappable = true }
	local g = vm:tables("pae")
	g:map(0x400000, edge - 0x1000, "w", 1, 3)
	local cpu = vm:vcpu()
	vm:mark()
	cpu:prefault(edge - 0x1000, 0x2000, { error = "EUNMAPPABLE" })
	vm:counts { pages_4k = 0, mmu_shadow_pages = 1 }
	cpu:prefault(edge - 0x1000, 0x1000)
	cpu:prefault(edge + 0x1000, 0x1000, { error = "ENOENT" })
	cpu:start(g)
	cpu:write(0x400000, { value = 1, gpa = edge - 0x1000 })
	cpu:write(0x401000, { value = 1, memory_fault = edge, bare = "illegal" })
	cpu:read(0x402000, { mmio = edge + 0x1000 })
end

for _, host in ipairs { { "ept", 5 }, { "npt", 5 }, { "shadow", 0 } } do
	local vm = umbra.vm { paging = host[1], levels = host[2], maxphyaddr = 52, page = "4k" }
	vm:slot { base = 0, size = "4M" }
	vm:slot { id = 1, base = 1 << 48, size = "8K" }
	local g = vm:tables("4")
	g:map(0x400000, 1 << 48, "w")
	local cpu = vm:vcpu()
	cpu:start(g)
	cpu:write(0x400000, { value = 1, gpa = 1 << 48 })
	cpu:prefault(1 << 48, 0x2000, host[2] > 0 and {} or { error = "EOPNOTSUPP" })
end
