-- SPDX-License-Identifier: MIT
--
-- N-13, N-14: an embedder runs L2 under the VPID or ASID of L1, although root.nested asks for
-- another one. L1's VM entry flushes nothing - on the bare machine the VPIDs differ - so L2 is
-- given translations of L1's linear addresses: memory that L1 never gave to it. No CPU may do
-- this. With tags of their own all is well.

for _, paging in ipairs({ "ept", "npt" }) do
  local vm = umbra.vm { paging = paging, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local g2 = vm:tables("4", { pool = 0x180000 })
  g:map(0x400000, 0x5000, "w")
  g2:map(0x400000, 0x6000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { guest = g2 }
  cpu:read(0x401000, { pf = "none" })
  cpu:leave()
  cpu:write(0x400000, { value = 1, gpa = 0x5000 })
  vm:omit { nested = true }
  cpu:resume()
  cpu:read(0x400000, { gpa = 0x5000, value = 1, bare = "illegal" })
  cpu:leave()
  vm:omit { nested = false }
  cpu:resume()
  cpu:read(0x400000, { gpa = 0x6000 })
end
