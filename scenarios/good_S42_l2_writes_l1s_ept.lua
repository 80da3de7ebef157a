-- SPDX-License-Identifier: MIT
--
-- S-42, S-20: L1's EPT lies in L1's memory, and L1 may have given that very page to L2. Whoever
-- writes it - L1, L2, a device - its mirror must follow. Writes to upper tables exit and are
-- emulated; a last-level table goes unsync and lags until INVEPT. A device's write takes effect
-- like L1's own.

local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx", 1, 2)
local leaf, upper = e:where(0x5000, 1), e:where(0x5000, 2)
e:map(0x8000, leaf & ~0xfff, "rw")              -- L2 has the last-level table at 0x8000,
e:map(0x9000, upper & ~0xfff, "rw")             -- and the one above it at 0x9000
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e }
cpu:read(0x5000, { gpa = 0x805000 })
print("-- L2 remaps its own page")
cpu:write(0x8000 + (leaf & 0xfff), { value = e:leaf(0x905000, "rwx") })
cpu:read(0x5000, { gpa = 0x805000, bare = "stale" })
cpu:leave()
cpu:invept(1, e)
cpu:resume()
cpu:read(0x5000, { gpa = 0x905000 })
print("-- a device does")
vm:write(leaf, e:leaf(0xa05000, "rwx"))
cpu:leave()
cpu:invept(1, e)
cpu:resume()
cpu:read(0x5000, { gpa = 0xa05000 })
print("-- L2 takes the whole table away, its own ground")
cpu:write(0x9000 + (upper & 0xfff), { value = 0, verdict = "emulate" })
cpu:leave()
cpu:invept(1, e)
cpu:resume()
cpu:read(0x5000, { violation = true })
