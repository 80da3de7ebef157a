-- SPDX-License-Identifier: MIT
--
-- N-6, E-9: the exit qualification that L1 reads. Bits 2:0 say what L2 did and 8:7 on what; 5:3
-- are the rights of L1's *own* EPT, ANDed over the levels, which the hardware that walks
-- Umbra's mirror cannot know: there the page may be absent. Bits 11:9 tell of L2's page tables,
-- if L1's CPU has advanced exit information.

for _, without in ipairs({ "", "advinfo" }) do
  local vm = umbra.vm { paging = "ept", page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local e = vm:tables("ept4", { owner = g })
  e:map(0x100000, 0x900000, "rw", 1, 32)
  local g2 = vm:tables("4", { base = 0x800000 })
  local cpu = vm:vcpu { without = without }
  cpu:start(g)
  local function advanced(bits) return without == "" and bits or "" end
  local function denied(words, ept, l2, kind, as, expected, bits)
    print("-- " .. words)
    if ept then e:map(0x5000, 0x805000, ept) else e:entry(0x5000, 1, 0) end
    g2:map(0x400000, 0x5000, l2)
    cpu:invept(2)
    cpu:enter { ept = e, guest = g2, vpid = 0 }
    cpu[kind](cpu, 0x400000, { as = as, violation = expected .. advanced(bits), l2_gpa = 0x5000 })
  end
  e:map(0x5000, 0x805000, "rwx")
  denied("no entry, read by the kernel", nil, "w", "read", "supervisor",
         "read GVA FINAL", " GUEST_W")
  denied("no entry, read by a user", nil, "u", "read", "user", "read GVA FINAL", " GUEST_U")
  denied("read-only, written", "r", "wu", "write", "user", "write R GVA FINAL", " GUEST_U GUEST_W")
  denied("no X, fetched", "rw", "w", "fetch", "supervisor", "fetch R W GVA FINAL", " GUEST_W")
  denied("R and X, written, NX in L2's tables", "rx", "wn", "write", "supervisor",
         "write R X GVA FINAL", " GUEST_W GUEST_NX")

  print("-- one of L2's page tables: bit 8 is clear, and a look at it is a write too (E-8)")
  e:map(g2:root(), 0x800000 + g2:root(), "r")
  cpu:invept(2)
  cpu:resume()
  cpu:read(0x400000, { violation = "read write R GVA", l2_gpa = g2:root() })
  if cpu:nested().in_l2 then cpu:leave() end
end
