-- SPDX-License-Identifier: MIT
--
-- P-1, G-4: NPT has the format of the host's kernel, since CR4 stays as it is when the guest
-- is entered: three levels on a PAE host, four or five on a 64-bit one. Any of them
-- may lie under a guest of any mode. What the guest sees does not depend on the host's
-- format, as long as the address fits.

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
