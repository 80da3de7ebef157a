-- SPDX-License-Identifier: MIT
--
-- Limits: a guest with endless address spaces would use endless table pages. A VM with
-- page_limit recycles its oldest tables when the limit is reached, and the guest goes on with
-- more exits. 64 pages is the smallest limit there is.

local vm = umbra.vm { paging = "shadow", limit = 64 }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4", { pages = 160 })
quiet(true)
for i = 0, 99 do g:map(0x10000000 + i * 0x200000, 0x200000 + i * 0x1000, "w") end
local cpu = vm:vcpu()
quiet(false)
cpu:start(g)
quiet(true)
for i = 0, 99 do cpu:write(0x10000000 + i * 0x200000, { value = i }) end
quiet(false)
vm:counts { mmu_shadow_pages = "<=64", mmu_recycled = ">0" }
cpu:read(0x10000000, { value = 0, exits = 1 })   -- its table was recycled
quiet(true)
for i = 0, 99 do cpu:read(0x10000000 + i * 0x200000, { value = i }) end
