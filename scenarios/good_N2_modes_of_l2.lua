-- SPDX-License-Identifier: MIT
--
-- N-2, N-18: L2 has a paging mode of its own, whatever L1's is and whatever format L1's EPT or
-- NPT has: all of them under 4- and 5-level EPT, and under NPT of each format that an L1 can
-- have. With EPT the PDPTEs of a PAE L2 come from VMCS fields, under NPT from memory.

local MODES = { "unpaged", "32", "32pse", "pae", "4", "5" }

local function try(vm, g, second, l2)
  quiet(true)
  local g2 = vm:tables(l2, { base = 0x800000, window = false })
  local gva = l2 == "unpaged" and 0x5000 or 0x400000
  if l2 ~= "unpaged" then
    g2:map(gva, 0x5000, "wu")
    if l2 ~= "32" then g2:map(0x800000, 0, "wu", 2) end
  end
  local cpu = vm:vcpu()
  cpu:start(g)
  quiet(false)
  second.guest = l2 ~= "unpaged" and g2 or nil
  cpu:enter(second)
  cpu:write(gva, { as = "user", value = 7, size = 4, l2_gpa = 0x5000, gpa = 0x805000 })
  if l2 == "unpaged" then
    cpu:read(0x6000, { size = 4, gpa = 0x806000 })
  else
    cpu:read(gva + 0x1000, { size = 4, pf = "none" })
  end
  if l2 ~= "unpaged" and l2 ~= "32" then
    cpu:read(0x805000, { as = "user", value = 7, size = 4, gpa = 0x805000 })
  end
end

for _, mode in ipairs({ "ept4", "ept5" }) do
  for half = 0, 3, 3 do
    local vm = umbra.vm { paging = "ept", levels = 5, page = "4k" }
    vm:slot { base = 0, size = "16M" }
    local g = vm:tables("4", { window = false })
    local e = vm:tables(mode, { owner = g, window = false })
    e:map(0, 0x800000, "rwx", 1, 512)
    for i = 1, 3 do try(vm, g, { ept = e }, MODES[half + i]) end
  end
end
for _, mode in ipairs({ "32", "pae", "4", "5" }) do
  for half = 0, 3, 3 do
    local vm = umbra.vm { paging = "npt", levels = 5, page = "4k" }
    vm:slot { base = 0, size = "16M" }
    local g = vm:tables(mode, { window = false })
    local n = vm:tables(mode, { owner = g, window = false })
    n:map(0, 0x800000, "wu", 1, 512)
    for i = 1, 3 do try(vm, g, { npt = n }, MODES[half + i]) end
  end
end
