-- SPDX-License-Identifier: MIT
--
-- N-13, H-112: L2's own edits of its page tables, under L1's EPT. Umbra has no part in them:
-- hardware walks L2's tables and caches under L2's tag. What L2 may see stale it may also see
-- on the bare machine: until L2's INVLPG or MOV CR3; until L1's INVVPID; until the next entry,
-- if L1 gives L2 no VPID. Several L2s of L1's share one hardware tag, so a change of VPID
-- flushes it.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0, 0x800000, "rwx", 1, 512)
local g2 = vm:tables("4", { base = 0x800000 })
g2:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, guest = g2, vpid = 5 }
cpu:read(0x400000, { gpa = 0x805000 })
local frame = 0x5000
local function edit()
  frame = frame + 0x1000
  cpu:edit(g2, 0x400000, 1, g2:leaf(frame, "w"))
  cpu:read(0x400000, { l2_gpa = frame - 0x1000, bare = "stale" })
end
edit()
cpu:invlpg(0x400000)
cpu:read(0x400000, { l2_gpa = frame, gpa = 0x800000 + frame })
edit()
cpu:mov_cr3(g2:root())
cpu:read(0x400000, { l2_gpa = frame })
edit()
cpu:leave()
cpu:resume()
cpu:read(0x400000, { l2_gpa = frame - 0x1000, bare = "stale" })
cpu:leave()
cpu:invvpid { type = 1, vpid = 5 }
cpu:resume()
cpu:read(0x400000, { l2_gpa = frame })
edit()
cpu:leave()
cpu:resume { vpid = 6 }
cpu:read(0x400000, { l2_gpa = frame })
cpu:leave()
cpu:resume { vpid = 0 }
cpu:read(0x400000, { l2_gpa = frame })
edit()
cpu:leave()
cpu:resume()
cpu:read(0x400000, { l2_gpa = frame })
cpu:leave()
cpu:invvpid { type = 1, vpid = 0, vmfail = true }
cpu:invvpid { type = 4, vmfail = true }
cpu:invvpid { type = 0, gva = 1 << 47 }            -- canonical for a CPU that can have 57 bits
cpu:invvpid { type = 0, gva = 1 << 56, vmfail = true }
