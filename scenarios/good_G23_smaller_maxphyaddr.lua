-- SPDX-License-Identifier: MIT
--
-- G-23: a guest may be told of fewer physical address bits than the host has, say to be migrated to an
-- older machine. Entries with bits in between are reserved to it, but an address to
-- hardware under EPT. Where hardware gets that far it exits, and the access is emulated with the
-- guest's width: #PF with RSVD. Where it stops before, for lack of rights, its #PF would
-- miss RSVD: it is intercepted, and corrected. With NPT there is no such way.

local vm = umbra.vm { paging = "ept", maxphyaddr = 46, smaller_maxphyaddr = true }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 1 << 41, "w")                        -- beyond 40 bits
g:map(0x401000, 1 << 41, "n")                        -- and neither writable, executable
g:map(0x402000, 0x5000, "")                          -- an honest read-only page
g:entry(0x800000, 2, 1 << 42 | 7)                    -- a table beyond
local cpu = vm:vcpu { maxphyaddr = 40 }
cpu:start(g)
cpu:read(0x400000, { pf = "P RSVD" })
cpu:write(0x400000, { pf = "P W RSVD" })
cpu:read(0x400000, { as = "user", pf = "P U RSVD" }) -- hardware: no rights; not RSVD
cpu:write(0x401000, { pf = "P W RSVD" })
cpu:fetch(0x401000, { pf = "P RSVD I" })
cpu:read(0x800000, { pf = "P RSVD" })
cpu:write(0x402000, { pf = "P W" })                  -- its own fault stays as it is
cpu:read(0x402000, { gpa = 0x5000 })
