-- SPDX-License-Identifier: MIT
--
-- S-25: MOV CR3 flushes all non-global translations, so all unsync tables below the root are
-- compared with the guest's at once: what has changed goes, what has not stays mapped
-- without an exit.

local vm = umbra.vm { paging = "shadow", prefetch = false }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
for i = 0, 3 do g:map(0x400000 + i * 0x1000, 0x5000 + i * 0x1000, "w") end
local cpu = vm:vcpu()
cpu:start(g)
for i = 0, 3 do cpu:write(0x400000 + i * 0x1000, { value = i }) end
cpu:edit(g, 0x400000, 1, g:leaf(0x10000, "w"))
cpu:edit(g, 0x402000, 1, 0)
vm:mark()
cpu:mov_cr3(g:root())
cpu:read(0x401000, { value = 1, exits = 0 })
vm:traced { sync_page = 1, end_unsync = 1 }
cpu:read(0x400000, { gpa = 0x10000 })
cpu:read(0x402000, { pf = "none" })
cpu:read(0x403000, { value = 3, exits = 0 })
