-- SPDX-License-Identifier: MIT
--
-- N-10, H-112: L1 changes its EPT and L2 may go on with the old translation, on the bare
-- machine because of the TLB, on Umbra because the mirror of a last-level table is "unsync":
-- until INVEPT. Single-context takes what belongs to one EPTP - its address, whatever the other
-- bits say - global takes everything. A plain exit and entry, INVVPID and a violation at
-- another address take nothing that they need not.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
local f = vm:tables("ept4", { owner = g, pool = 0x180000, window = 0x39000000 })
for _, t in ipairs({ e, f }) do t:map(0x5000, 0x805000, "rwx", 1, 2) end
local cpu = vm:vcpu()
cpu:start(g)

local function touch(ept, expected)
  cpu:enter { ept = ept }
  cpu:read(0x5000, expected)
  if cpu:nested().in_l2 then cpu:leave() end
end
for i = 1, 2 do
  touch(e, { gpa = 0x805000 })
  touch(f, { gpa = 0x805000 })
end
cpu:edit(e, 0x5000, 1, e:leaf(0x905000, "rwx"))
cpu:edit(f, 0x5000, 1, f:leaf(0x905000, "rwx"))
touch(e, { gpa = 0x805000, bare = "stale" })
touch(f, { gpa = 0x805000, bare = "stale" })

print("-- INVEPT of f: e's translations may stay")
cpu:invept(1, f)
touch(f, { gpa = 0x905000 })
touch(e, { gpa = 0x805000, bare = "stale" })

print("-- INVEPT of e, named by an EPTP without A and D bits")
cpu:invept(1, e:eptp(false))
touch(e, { gpa = 0x905000 })

print("-- global")
touch(f, { gpa = 0x905000 })
touch(e, { gpa = 0x905000 })
cpu:edit(e, 0x5000, 1, 0)
cpu:edit(f, 0x5000, 1, 0)
touch(e, { gpa = 0x905000, bare = "stale" })
cpu:invept(2)
touch(f, { violation = true })
touch(e, { violation = true })

print("-- what VM entry would refuse, and types that there are not: VMfail")
cpu:invept(1, 0x140005, { vmfail = true })
cpu:invept(0, e, { vmfail = true })
cpu:invept(3, e, { vmfail = true })
