-- SPDX-License-Identifier: MIT
--
-- S-4: a store whose own translation goes through the page that it writes. To carry it out the
-- hardware needs the page as a table (read-only) and as data (writable) at once. An
-- embedder that answers EMULATE with umbra_vm_unprotect() and tries again, instead of
-- emulating, gets nowhere: the walk for the store makes the table anew each time.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
local cpu = vm:vcpu()
cpu:start(g)
for i = 1, 3 do
  cpu:edit(g, 0x600000, 2, i << 12, { verdict = "emulate" })
  expect(vm:unprotect(g:where(0x600000, 2)), "there was a table again")
end
