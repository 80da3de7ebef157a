-- SPDX-License-Identifier: MIT
--
-- S-21, umbra_vm_track(): an embedder wants to see every write to a page, say because it
-- mirrors a guest's graphics page tables. Such a page is mapped read-only, guest writes get
-- the verdict EMULATE, and even a last-level guest table in it must not go unsync.
-- Tracking counts: it ends with the last tracker.

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:write(0x400000, { value = 1 })
vm:track(0x5000, true)
vm:track(0x5000, true)
cpu:write(0x400000, { value = 2, verdict = "emulate" })
cpu:read(0x400000, { value = 2 })
vm:track(0x5000, false)
cpu:write(0x400000, { value = 3, verdict = "emulate" })
vm:track(0x5000, false)
cpu:write(0x400000, { value = 4, verdict = "resume" })
cpu:write(0x400000, { value = 5, exits = 0 })
vm:track(0x5000, false, { error = "EINVAL" })
vm:track(0x900000, true, { error = "ENOENT" })
