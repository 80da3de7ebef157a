-- SPDX-License-Identifier: MIT
--
-- R-20, R-21: tables are found by frame and role, whoever asks. Two vCPUs of L1 run two vCPUs
-- of L2 with the same EPT: they share one mirror, and what the first has faulted in the second
-- finds. L1 unmaps a page; each vCPU of L2 may use the old translation until L1 has executed
-- INVEPT on *its* CPU.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx")
local a, b = vm:vcpu(), vm:vcpu()
a:start(g)
b:start(g)
a:enter { ept = e }
b:enter { ept = e }
a:read(0x5000, { gpa = 0x805000, exits = 1 })
b:read(0x5000, { gpa = 0x805000, exits = 0 })
expect(a:path(0x5000)[1] == b:path(0x5000)[1], "one root for both")

a:leave()
a:edit(e, 0x5000, 1, 0)                    -- the last level goes unsync: no exit from now on
a:invept(1, e)
a:resume()
a:read(0x5000, { violation = "read GVA FINAL GUEST_U GUEST_W", l2_gpa = 0x5000 })
b:leave()
b:invept(1, e)
b:resume()
b:read(0x5000, { violation = true })

print("-- Portals too: L1 with 4 levels on a 5-level host.")
vm = umbra.vm { paging = "npt", levels = 5, page = "4k" }
vm:slot { base = 0, size = "16M" }
g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x5000, 0x805000, "wu")
a, b = vm:vcpu(), vm:vcpu()
a:start(g)
b:start(g)
a:enter { npt = n }
a:read(0x5000, { gpa = 0x805000, exits = 1 })
b:enter { npt = n, asid = 7 }
b:read(0x5000, { gpa = 0x805000, exits = 0 })
local roles = "portal mirror mirror mirror mirror"
expect(a:path(0x5000, roles)[1] == b:path(0x5000, roles)[1], "one portal for both")
