-- SPDX-License-Identifier: MIT
--
-- R-33: the root of a PAE NPT has 32 bytes, nCR3[11:5] says where in its page: 128 roots of L1
-- can have the same frame number. The offset is part of the identity of the table that mirrors
-- them, and of the portal above it in a 64-bit host. L1 writes one of the roots: the others'
-- mirrors stay.

local function run(levels, roles)
  local vm = umbra.vm { paging = "npt", levels = levels, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("pae", { pages = 64 })
  local roots = {}
  for i = 0, 2 do
    roots[i] = vm:tables("pae", { owner = g, pool = 0x150000 + i * 0x10000, pages = 8,
                                  root = 0x140000 + i * 0x20, window = 0x38000000 + i * 0x10000 })
    roots[i]:map(0x5000, 0x800000 + i * 0x1000, "wu")
    vm:write(0x800000 + i * 0x1000, 0x70 + i)
  end
  g:map(0x40000000, 0x140000, "w")
  local cpu = vm:vcpu()
  cpu:start(g)
  local seen = {}
  for i = 0, 2 do
    cpu:enter { npt = roots[i] }
    cpu:read(0x5000, { value = 0x70 + i, size = 4 })
    seen[i] = cpu:path(0x5000, roles)[1]
    cpu:leave()
  end
  expect(seen[0] ~= seen[1] and seen[1] ~= seen[2], "each has a root of its own")

  print("-- L1 takes the second root's first gigabyte away")
  cpu:write(0x40000020, { value = 0, verdict = "emulate" })
  cpu:enter { npt = roots[1], tlb_control = 3 }
  cpu:read(0x5000, { npf = "U FINAL", size = 4 })
  for i = 0, 2, 2 do
    cpu:enter { npt = roots[i], tlb_control = 3 }
    cpu:read(0x5000, { value = 0x70 + i, size = 4, exits = 0 })
    cpu:leave()
  end
end

run(3, "pae-mirror mirror mirror")
run(4, "portal mirror mirror mirror")
run(5, "portal portal mirror mirror mirror")
