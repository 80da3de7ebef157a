-- SPDX-License-Identifier: MIT
--
-- B-6, B-8, E-7: mode-based execute control splits X of an EPT entry: bit 2 (XS) is for
-- addresses of L2's kernel, bit 10 (XU) for those of its users. Which it is the *address*
-- decides, U of L2's page tables in all levels, not the CPL: a kernel without SMEP that fetches
-- from a user page needs XU. Without the control bit 10 is ignored. All rows, on a VM that runs
-- L1 itself with MBEC and on one that does not; and on one whose CPU has no advanced exit
-- information, where Umbra has to look up whose the address is.

local function want(mbec, xs, xu, u, without)
  local allowed
  if mbec and u then allowed = xu else allowed = xs end
  if allowed then return nil end
  local bits = "fetch GVA FINAL R W" .. (xs and " X" or "") .. (mbec and xu and " XU" or "")
  return without == "" and bits .. " GUEST_W" .. (u and " GUEST_U" or "") or bits
end

for _, with in ipairs({ { false, "" }, { true, "" }, { false, "advinfo" } }) do
  local by_mode, without = with[1], with[2]
  local vm = umbra.vm { paging = "ept", page = "4k", layout = "7.3", exec_by_mode = by_mode,
                        without = without }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local e = vm:tables("ept4", { owner = g })
  e:map(0x100000, 0x900000, "rw", 1, 32)             -- L2's page tables
  local g2 = vm:tables("4", { base = 0x800000 })
  for row = 0, 3 do
    local flags = "rw" .. (row & 1 == 1 and "x" or "") .. (row & 2 == 2 and "u" or "")
    e:map(0x5000 + row * 0x1000, 0x805000 + row * 0x1000, flags)
    g2:map(0x400000 + row * 0x1000, 0x5000 + row * 0x1000, "wu")
    g2:map(0x600000 + row * 0x1000, 0x5000 + row * 0x1000, "w")
  end
  local cpu = vm:vcpu()
  cpu:start(g)
  for _, mbec in ipairs({ false, true }) do
    cpu:enter { ept = e, guest = g2, mbec = mbec }
    for row = 0, 3 do
      local xs, xu = row & 1 == 1, row & 2 == 2
      print("-- XS=" .. (row & 1) .. " XU=" .. (row >> 1) .. (mbec and ", MBEC" or ", no MBEC"))
      local function fetch(gva, as, u)
        local violation = want(mbec, xs, xu, u, without)
        cpu:fetch(gva + row * 0x1000, { as = as, violation = violation })
        if violation then cpu:resume() end
      end
      fetch(0x600000, "supervisor", false)
      fetch(0x400000, "user", true)
      fetch(0x400000, "supervisor", true)            -- the address is a user's
      cpu:write(0x400000 + row * 0x1000, { as = "user" })
    end
    cpu:leave()
  end
end
