-- SPDX-License-Identifier: MIT
--
-- E-6, H-76: L1's EPT has an entry that no entry may be. The walk stops there: exit 49 and no
-- qualification, even if entries above it forbid the access (rights are judged after the leaf
-- only). But an entry that is not present, above or on the way, is a violation: below it
-- nothing is looked at.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx")
local good, upper = e:entry(0x5000, 1), e:entry(0x5000, 2)
local at, above = e:where(0x5000, 1), e:where(0x5000, 2)
local cpu = vm:vcpu()
cpu:start(g)

local function case(words, level2, leaf, expected)
  print("-- " .. words)
  vm:write(above, level2)
  vm:write(at, leaf)
  cpu:enter { ept = e }
  cpu:write(0x5000, expected)
  if cpu:nested().in_l2 then cpu:leave() end
  cpu:invept(1, e)
end
case("as it should be", upper, good, { gpa = 0x805000 })
case("writable, not readable", upper, good & ~1, { misconfig = true, l2_gpa = 0x5000 })
case("memory type 2", upper, (good & ~0x38) | 2 << 3, { misconfig = true })
case("an address beyond MAXPHYADDR", upper, good | 1 << 50, { misconfig = true })
case("bit 7 in an upper entry makes a 2M page with bits 20:12 set", upper | 0x80, good,
     { misconfig = true })
case("bits 6:3 of an upper entry", upper | 0x40, good, { misconfig = true })
case("misconfigured below an entry without W", upper & ~2, good & ~1, { misconfig = true })
case("not writable", upper & ~2, good, { violation = "write R X GVA FINAL GUEST_U GUEST_W" })
case("misconfigured below an entry that is not present", upper & ~0x407, good & ~1,
     { violation = "write GVA FINAL GUEST_U GUEST_W" })
