-- SPDX-License-Identifier: MIT
--
-- B-8, H-97: GMET (guest mode execute trap) gives U of L1's NPT another meaning: not "L2 may
-- use it" but "L2's kernel may not execute it". The manual tests the CPL, not U of L2's own
-- page tables. All rows of the table - U, NX, with and without GMET, kernel and user, three
-- kinds of access - run through L2's tables, L1's NPT and Umbra's mirror, on a VM that runs L1
-- itself with GMET and on one that does not. A row whose answer Umbra gets wrong differs from
-- the bare machine.

local KINDS = { "read", "write", "fetch" }

-- What the manual says: nil, or the NPF code.
local function want(gmet, u, nx, kind, as)
  local deny
  if kind == "fetch" and nx then deny = true
  elseif not gmet then deny = not u
  else deny = kind == "fetch" and u and as == "supervisor" end
  if not deny then return nil end
  local mode = gmet and kind == "fetch" and as == "supervisor" and "" or " U"
  return "P FINAL" .. mode .. (kind == "write" and " W" or "") .. (kind == "fetch" and " I" or "")
end

for _, by_mode in ipairs({ false, true }) do
  local vm = umbra.vm { paging = "npt", page = "4k", exec_by_mode = by_mode }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local n = vm:tables("4", { owner = g })
  n:map(0x100000, 0x900000, "wu", 1, 32)             -- L2's page tables
  local g2 = vm:tables("4", { base = 0x800000 })
  local cpu = vm:vcpu()
  cpu:start(g)
  for row = 0, 3 do
    local flags = "w" .. (row & 1 == 1 and "u" or "") .. (row & 2 == 2 and "n" or "")
    n:map(0x5000 + row * 0x1000, 0x805000 + row * 0x1000, flags)
    -- Of L2's own tables: U for its user, no U for its kernel (a fetch by CPL 0 without SMEP
    -- may have U as well: the CPL decides).
    g2:map(0x400000 + row * 0x1000, 0x5000 + row * 0x1000, "wu")
  end
  for _, gmet in ipairs({ false, true }) do
    cpu:enter { npt = n, guest = g2, gmet = gmet, tlb_control = 3 }
    for row = 0, 3 do
      for _, kind in ipairs(KINDS) do
        for _, as in ipairs({ "supervisor", "user" }) do
          local u, nx = row & 1 == 1, row & 2 == 2
          local npf = want(gmet, u, nx, kind, as)
          print("-- U=" .. (row & 1) .. " NX=" .. (row >> 1) .. (gmet and ", GMET" or ", no GMET"))
          cpu[kind](cpu, 0x400000 + row * 0x1000, { as = as, npf = npf })
          if npf then cpu:resume() end
        end
      end
    end
    cpu:leave()
  end
end
