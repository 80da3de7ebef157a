-- SPDX-License-Identifier: MIT
--
-- P-1, G-4: NPT with three, four and five levels under guests of every mode. What the
-- guest sees does not depend on the host's format, as long as the address fits.

for _, levels in ipairs { 3, 4, 5 } do
  for _, mode in ipairs { "32pse", "pae", "4", "5" } do
    local vm = umbra.vm { paging = "npt", levels = levels }
    vm:slot { base = 0, size = "4M" }
    local g = vm:tables(mode)
    g:map(0x400000, 0x5000, "wu")
    local cpu = vm:vcpu()
    cpu:start(g)
    cpu:write(0x400000, { as = "user", value = 3, size = 4, gpa = 0x5000 })
    cpu:read(0x800000, { as = "user", pf = "U" })
  end
end
