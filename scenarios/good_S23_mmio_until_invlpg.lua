-- SPDX-License-Identifier: MIT
--
-- S-23, Q-29: under shadow paging an MMIO entry is a translation like any other. The guest lets a
-- page lead elsewhere and does not flush: its device is still there, for the emulator too, as it
-- might be on a CPU that has the page cached. INVLPG ends that. Another mapping, fewer rights, or
-- A taken away: the entry goes; the same as before: it stays.

for _, new in ipairs { { 0x6000, "w", gpa = 0x6000 }, { 0xfee01000, "w", mmio = 0xfee01000 },
                       { 0xfee00000, "", pf = "P W" } } do
  local vm = umbra.vm { paging = "shadow" }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0xfee00000, "w")
  g:map(0x401000, 0x5000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:write(0x400000, { mmio = 0xfee00000 })
  cpu:edit(g, 0x400000, 1, g:leaf(new[1], new[2]))
  vm:mark()
  cpu:write(0x400000, { mmio = 0xfee00000, bare = "stale", exits = 1 })
  vm:counts { pf_taken = 0, pf_mmio = 1 }
  cpu:invlpg(0x400000)
  cpu:write(0x400000, { gpa = new.gpa, mmio = new.mmio, pf = new.pf })
end
