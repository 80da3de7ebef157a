-- SPDX-License-Identifier: MIT
--
-- E-4, B-8: L1 may map pages that L2 can execute but not read, if its CPU has the feature. A
-- fetch completes, a read is a violation whose qualification says that the page has X and
-- nothing else. An L1 whose CPU lacks it gets a misconfiguration for the same entry, whatever
-- the access.

for _, without in ipairs({ "", "execonly" }) do
  local vm = umbra.vm { paging = "ept", page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local e = vm:tables("ept4", { owner = g })
  e:map(0x5000, 0x805000, "x")
  local cpu = vm:vcpu { without = without }
  cpu:start(g)
  cpu:enter { ept = e }
  if without == "" then
    cpu:fetch(0x5000, { gpa = 0x805000, exits = 1 })
    cpu:entry(0x5000, 1, { present = true, executable = true, writable = false })
    cpu:read(0x5000, { violation = "read X GVA FINAL GUEST_U GUEST_W" })
    cpu:resume()
    cpu:fetch(0x5000, { gpa = 0x805000, exits = 0 })
  else
    cpu:fetch(0x5000, { misconfig = true, l2_gpa = 0x5000 })
    cpu:resume()
    cpu:read(0x5000, { misconfig = true })
  end
end
