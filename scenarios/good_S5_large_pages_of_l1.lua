-- SPDX-License-Identifier: MIT
--
-- S-5, H-85: L1's EPT has a 2M page. Where the host's memory is as large and aligned alike,
-- Umbra's mirror has one too; over small host pages ("skew") it makes 4K leaves below a table
-- that mirrors no table of L1's. L2 cannot tell. D of L1's large entry says that L2 wrote
-- anywhere in it, so until then the leaves are read-only. L1 splits its page: what L2 sees goes
-- with the INVEPT.

for _, skew in ipairs({ false, true }) do
  local vm = umbra.vm { paging = "ept", page = "2m", skew = skew }
  vm:slot { base = 0, size = "64M" }
  local g = vm:tables("4")
  local e = vm:tables("ept4", { owner = g })
  e:map(0x200000, 0x1000000, "rwx", 2)
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { ept = e }
  cpu:read(0x205000, { gpa = 0x1005000, level = skew and 1 or 2 })
  cpu:read(0x206000, { gpa = 0x1006000 })
  expect(e:entry(0x200000, 2) & 1 << 9 == 0, "nothing is dirty")
  cpu:entry(0x205000, 0, { leaf = true, writable = false })
  cpu:write(0x205000, { value = 5, gpa = 0x1005000 })
  expect(e:entry(0x200000, 2) & 1 << 9 ~= 0, "the 2M page is dirty")
  cpu:leave()

  print("-- L1 makes a table of it, in which one page lies elsewhere")
  e:entry(0x200000, 2, 0)
  e:map(0x200000, 0x1000000, "rwx", 1, 512)
  e:map(0x205000, 0x2000000, "rwx")
  cpu:invept(1, e)
  cpu:resume()
  cpu:read(0x205000, { gpa = 0x2000000, value = 0 })
  cpu:read(0x206000, { gpa = 0x1006000 })
end
