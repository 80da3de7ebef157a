-- SPDX-License-Identifier: MIT
--
-- R-2, R-3: two vCPUs share the guest's page tables but not the control registers: one has
-- CR4.SMEP and CR0.WP, the other neither. Entries that are right for one would be wrong for the
-- other, so these bits are part of a table's role and there are two sets of mirrors. Both
-- see what their own registers say, again and again.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "u")
local strict, loose = vm:vcpu(), vm:vcpu()
strict:start(g, { smep = true })
loose:start(g, { wp = false })
for i = 1, 2 do
  strict:fetch(0x400000, { pf = "P I" })
  loose:fetch(0x400000, { gpa = 0x5000 })
  strict:write(0x400000, { pf = "P W" })
  loose:write(0x400000, { value = i, gpa = 0x5000 })
  strict:read(0x400000, { value = i })
end
