-- SPDX-License-Identifier: MIT
--
-- M-4: a read-only slot is ROM or flash: reads and fetches are as fast as from memory,
-- writes go to the embedder as MMIO and change nothing here. Under shadow paging the
-- guest's own tables may say writable; the leaf must not.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
vm:slot { id = 1, base = 0x40000000, size = "64K", readonly = true }
local g = vm:tables("4")
g:map(0x400000, 0x40000000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { value = 0, gpa = 0x40000000 })
cpu:write(0x400000, { value = 7, mmio = 0x40000000 })
cpu:entry(0x400000, 1, { present = true, writable = false })
cpu:read(0x400000, { value = 0 })
cpu:fetch(0x400000)
