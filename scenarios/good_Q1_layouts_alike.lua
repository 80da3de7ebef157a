-- SPDX-License-Identifier: MIT
--
-- Q: entries carry software bits beside what hardware reads, and their places have moved
-- between generations (docs/SPTE.md). Whichever layout a VM writes, the hardware bits are
-- the same and the guest cannot tell. A software bit on a hardware bit's place would
-- show as a right or a reserved bit.

for _, layout in ipairs { "6.12", "004", "7.3" } do
  for _, paging in ipairs { "shadow", "ept", "npt" } do
    local vm = umbra.vm { paging = paging, layout = layout }
    vm:slot { base = 0, size = "4M" }
    local g = vm:tables("4")
    g:map(0x400000, 0x5000, "w")
    g:map(0x401000, 0x6000, "un")
    local cpu = vm:vcpu()
    cpu:start(g)
    cpu:write(0x400000, { value = 1, gpa = 0x5000 })
    cpu:read(0x401000, { as = "user", gpa = 0x6000 })
    cpu:fetch(0x401000, { pf = "P I" })
  end
end
