-- SPDX-License-Identifier: MIT
--
-- G-2, G-3: the guest's CR0.PG, CR4.PAE, EFER.LMA and CR4.LA57 select one of several page
-- table formats: two levels of 4-byte entries, three levels (PAE), four or five
-- levels of 8-byte entries. Umbra knows each as data for one walker. Here the same
-- page is mapped in all of them, and each guest sees the same memory at the same
-- address: read, write, fetch, user and supervisor.

for _, mode in ipairs { "32", "32pse", "pae", "4", "5" } do
  local vm = umbra.vm { paging = "shadow" }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables(mode)
  g:map(0x400000, 0x5000, "wu")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400010, { value = 0x77, size = 4, gpa = 0x5010 })
  cpu:read(0x400010, { as = "user", size = 4, value = 0x77, exits = 0 })
  cpu:fetch(0x400010, { as = "user", gpa = 0x5010 })
  cpu:read(0x800000, { as = "user", pf = "U" })
end
