-- SPDX-License-Identifier: MIT
--
-- Q-29, N-5: L1 lets L2 at a device of the VM's. Umbra's mirror of L1's EPT or NPT gets an MMIO
-- entry where L2's address leads; it names L1's frame. A misconfiguration does not say whether
-- L2 reads or writes, nor are L1's rights in the entry: who emulates the instruction asks for
-- them, and what L1 does not allow is L1's to see. NPT entries do hold W, so there the fault
-- itself says so. A slot is made where the device was: one exit more, and there is memory.

for _, kind in ipairs { "ept", "npt" } do
  local vm = umbra.vm { paging = kind, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local n = vm:tables(kind == "ept" and "ept4" or "4", { owner = g })
  n:map(0x100000, 0x900000, kind == "ept" and "rw" or "wu", 1, 32)
  n:map(0x5000, 0xfee00000, kind == "ept" and "rw" or "wu")
  n:map(0x6000, 0xfee01000, kind == "ept" and "r" or "u")
  local g2 = vm:tables("4", { base = 0x800000 })
  g2:map(0x400000, 0x5000, "w", 1, 2)
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { [kind] = n, guest = g2 }
  cpu:write(0x400010, { mmio = 0xfee00010, l2_gpa = 0x5010, value = 1 })
  cpu:read(0x401000, { mmio = 0xfee01000, l2_gpa = 0x6000 })
  vm:mark()
  cpu:write(0x400010, { mmio = 0xfee00010, value = 1, exits = 1 })
  cpu:read(0x401000, { mmio = 0xfee01000, exits = 1 })
  vm:counts { pf_mmio = 2, pf_taken = 0 }
  if kind == "ept" then
    cpu:write(0x401000, { violation = "write R GVA FINAL GUEST_W", l2_gpa = 0x6000 })
  else
    cpu:write(0x401000, { npf = "P W U FINAL", l2_gpa = 0x6000 })
  end
  cpu:resume()
  vm:slot { id = 1, base = 0xfee00000, size = "4K" }
  cpu:write(0x400010, { gpa = 0xfee00010, value = 5 })
  cpu:read(0x400010, { exits = 0, value = 5 })
end
