-- SPDX-License-Identifier: MIT
--
-- F-21, F-22: a write to read-only memory is the embedder's to carry out, like MMIO, but there is
-- memory: no entry may say that there is none. Reads go on without exits, and the write is a
-- plain violation each time. Nor does an entry come of an address that no table reaches (F-31).

for _, paging in ipairs { "ept", "npt", "shadow" } do
  local vm = umbra.vm { paging = paging }
  vm:slot { base = 0, size = "4M" }
  vm:slot { id = 1, base = 0x800000, size = "64K", readonly = true }
  local g = vm:tables("4")
  g:map(0x400000, 0x800000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:read(0x400000, { gpa = 0x800000 })
  for _ = 1, 2 do
    cpu:write(0x400000, { mmio = 0x800000, exits = 1 })
    cpu:read(0x400000, { gpa = 0x800000, exits = 0 })
  end
  vm:counts { pf_mmio_spte_created = 0 }
end
