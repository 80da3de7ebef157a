-- SPDX-License-Identifier: MIT
--
-- S-62: umbra_vm_zap_all() makes all tables obsolete at once and frees them bit by bit. A vCPU
-- keeps its old root until it loads the next one, so it must be kicked. For the guest
-- nothing has happened, except that it takes its first exits again.

for _, paging in ipairs { "shadow", "ept", "npt" } do
  local vm = umbra.vm { paging = paging, page = "4k" }
  vm:slot { base = 0, size = "4M" }
  local g = vm:tables("4")
  g:map(0x400000, 0x5000, "w")
  local one, two = vm:vcpu(), vm:vcpu()
  one:start(g)
  two:start(g)
  one:write(0x400000, { value = 1 })
  two:read(0x400000, { value = 1 })
  vm:zap()
  one:read(0x400000, { value = 1 })
  two:write(0x400000, { value = 2 })
  one:read(0x400000, { value = 2 })
end
