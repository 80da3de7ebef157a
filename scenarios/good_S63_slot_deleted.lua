-- SPDX-License-Identifier: MIT
--
-- S-63: when a slot is deleted nothing may lead to its memory any more, on any CPU: entries
-- go, TLBs are flushed, before umbra_slot_set() returns. From then on the address is
-- MMIO. A new slot there is new memory.

for _, paging in ipairs { "shadow", "ept", "npt" } do
  local vm = umbra.vm { paging = paging }
  vm:slot { base = 0, size = "4M" }
  vm:slot { id = 1, base = 0x40000000, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0x40000000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400000, { value = 0x99 })
  vm:slot { id = 1, size = 0 }
  cpu:read(0x400000, { mmio = 0x40000000 })
  vm:slot { id = 1, base = 0x40000000, size = "4M" }
  cpu:read(0x400000, { value = 0, gpa = 0x40000000 })
end
