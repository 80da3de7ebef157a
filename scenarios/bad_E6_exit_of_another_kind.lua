-- SPDX-License-Identifier: MIT
--
-- E-6, P-6: an exit has the form of the VM's paging: #PF under shadow paging, a violation with EPT,
-- #NPF with NPT. An embedder that dispatches wrongly - a #PF of a guest with EPT is the
-- guest's own - must be told, not answered with a repair of something. EINVAL, and nothing
-- has changed. A misconfiguration (E-4) is refused as well: Umbra's EPT has no such entry,
-- so somebody else wrote it.

for _, row in ipairs { { "shadow", "ept_violation", "pf" }, { "ept", "pf", "ept_violation" },
                       { "npt", "pf", "npf" } } do
  local paging, wrong, right = row[1], row[2], row[3]
  local vm = umbra.vm { paging = paging }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0x5000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:read(0x400000, { gpa = 0x5000 })
  cpu:exit { kind = wrong, gva = 0x400000, at = 0x5000, status = "EINVAL" }
  if paging == "ept" then
    cpu:exit { kind = "ept_misconfig", at = 0x5000, verdict = "retry" }
  else
    cpu:exit { kind = "ept_misconfig", at = 0x5000, status = "EINVAL" }
  end
  cpu:exit { kind = right, gva = 0x400000, at = 0x5000, code = right == "ept_violation" and 1 or 4,
             verdict = right == "pf" and "inject" or "resume",
             pf = right == "pf" and "P U" or nil }
  cpu:read(0x400000, { exits = 0 })
end
