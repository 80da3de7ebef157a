-- SPDX-License-Identifier: MIT
--
-- Q-20..Q-25: the first access to an address without memory leaves an entry behind that faults by
-- design: under EPT a misconfiguration, elsewhere a reserved address bit. It says which frame it
-- is for and how old it is (Q-22), so that the next access needs neither the guest's tables nor
-- the slots (F-11). Any change of slots makes it old: one access is looked up, and it is young
-- again. Where the CPU has 52 address bits none is reserved, and there is no such entry but in EPT.

for _, c in ipairs { { paging = "ept" }, { paging = "ept", levels = 5 }, { paging = "npt" },
                     { paging = "npt", levels = 3 }, { paging = "shadow" },
                     { paging = "npt", maxphyaddr = 52, none = true },
                     { paging = "ept", maxphyaddr = 52 },
                     { paging = "ept", mmio_caching = false, none = true } } do
  local none = c.none
  c.none = nil
  local vm = umbra.vm(c)
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0xfee00000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400000, { mmio = 0xfee00000, value = 1 })
  vm:mark()
  for offset = 0, 24, 8 do
    cpu:read(0x400000 + offset, { mmio = 0xfee00000 + offset, exits = 1 })
  end
  vm:counts { pf_mmio = 4, pf_taken = none and 4 or 0, pf_mmio_spte_created = 0 }
  vm:slot { id = 1, base = 0x80000000, size = "4K" }
  vm:mark()
  cpu:read(0x400000, { mmio = 0xfee00000, exits = 1 })
  cpu:read(0x400000, { mmio = 0xfee00000, exits = 1 })
  vm:counts { pf_taken = none and 2 or 1, pf_mmio_spte_created = none and 0 or 1 }
  vm:traced { mark_mmio_spte = none and 0 or 1, handle_mmio_page_fault = none and 0 or 1 }
end
