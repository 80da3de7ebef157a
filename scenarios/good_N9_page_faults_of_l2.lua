-- SPDX-License-Identifier: MIT
--
-- N-9: a #PF in L2 goes to L2 or to L1, as L1's VMCS or VMCB says. On AMD by bit 14 of the
-- intercepts; on Intel by bit 14 of the exception bitmap, inverted for error codes that do not
-- match: (code & mask) == match. L1 can so ask for the faults of users only, say. Under shadow
-- paging Umbra finds out whether a #PF is L2's at all before anyone sees it.

for _, paging in ipairs({ "ept", "npt", "shadow" }) do
  local vm = umbra.vm { paging = paging, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables("4")
  local g2 = vm:tables("4", { pool = 0x180000 })
  g2:map(0x400000, 0x5000, "w")
  g2:map(0x401000, 0x6000, "u")
  local cpu = vm:vcpu()
  cpu:start(g)
  local second = {}
  if paging == "ept" then
    second = { ept = vm:tables("ept4", { owner = g }) }
    second.ept:map(0, 0, "rwx", 1, 512)
  elseif paging == "npt" then
    second = { npt = vm:tables("4", { owner = g }) }
    second.npt:map(0, 0, "wu", 1, 512)
  end
  second.guest = g2
  cpu:enter(second)
  cpu:read(0x400000, { as = "user", pf = "P U", to_l1 = false })
  cpu:leave()
  cpu:resume { pf_exits = true }
  cpu:read(0x400000, { gpa = 0x5000 })             -- no fault of L2's: nobody hears of it
  cpu:read(0x400000, { as = "user", pf = "P U", to_l1 = true })
  if paging ~= "npt" then
    print("-- faults of users only")
    cpu:resume { pf_mask = 4, pf_match = 4 }
    cpu:write(0x401000, { pf = "P W", to_l1 = false })
    cpu:write(0x401000, { as = "user", pf = "P W U", to_l1 = true })
    print("-- all but those")
    cpu:resume { pf_exits = false }
    cpu:write(0x401000, { as = "user", pf = "P W U", to_l1 = false })
    cpu:write(0x401000, { pf = "P W", to_l1 = true })
  end
end
