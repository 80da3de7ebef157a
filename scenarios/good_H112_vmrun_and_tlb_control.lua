-- SPDX-License-Identifier: MIT
--
-- H-112, N-14: on AMD it is VMRUN that says what is flushed. L1 changes its NPT: with
-- TLB_CONTROL 0 and the same ASID L2 may go on with what it had; TLB_CONTROL 1 or 3, or another
-- ASID, and only the new tables count. INVLPGA takes linear addresses, so L1's NPT may go on
-- lagging. (KVM syncs and flushes at every VMRUN and #VMEXIT; a mirror that lags as a TLB would
-- is cheaper.)

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x5000, 0x800000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n }
cpu:read(0x5000, { gpa = 0x800000 })

local frame = 0x800000
local function change()
  cpu:leave()
  frame = frame + 0x1000
  cpu:edit(n, 0x5000, 1, n:leaf(frame, "wu"))
end
change()
cpu:resume()
cpu:read(0x5000, { gpa = frame - 0x1000, bare = "stale" })
cpu:leave()
cpu:resume { tlb_control = 3 }
cpu:read(0x5000, { gpa = frame })
change()
cpu:resume { tlb_control = 1 }
cpu:read(0x5000, { gpa = frame })
change()
cpu:resume { asid = 2 }
cpu:read(0x5000, { gpa = frame })
change()
cpu:invlpga(0x5000, 2)
cpu:resume()
cpu:read(0x5000, { gpa = frame - 0x1000, bare = "stale" })
cpu:leave()
cpu:resume { tlb_control = 7 }
cpu:read(0x5000, { bare = "any" })              -- whether 7 includes nested entries is unsure
