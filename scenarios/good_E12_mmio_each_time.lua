-- SPDX-License-Identifier: MIT
--
-- E-12: where no slot is, there may be a device. The access exits and the verdict is MMIO with the
-- guest-physical address; the embedder carries it out. Each access exits, but the second time
-- by an entry that is made to fault and says why: a misconfiguration, or a reserved bit.
-- A slot that is put there later is simply found.

for _, paging in ipairs { "ept", "npt", "shadow" } do
  local vm = umbra.vm { paging = paging }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0xfee00000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:read(0x400000, { mmio = 0xfee00000 })
  cpu:write(0x400000, { mmio = 0xfee00000, verdict = "mmio" })
  cpu:read(0x400000, { mmio = 0xfee00000, exits = 1 })
  vm:slot { id = 1, base = 0xfee00000, size = "4K" }
  cpu:write(0x400000, { value = 3, gpa = 0xfee00000 })
  cpu:read(0x400000, { value = 3 })
end
