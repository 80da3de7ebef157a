-- SPDX-License-Identifier: MIT
--
-- G-46: bits 62:59 of a user page's leaf are its protection key. PKRU has two bits a key:
-- access disable and write disable. The guest changes PKRU without telling anybody, so
-- Umbra copies the key into its own leaf and the hardware checks it: no exit is needed
-- when PKRU changes (KVM has no keys under shadow paging).

local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:entry(0x400000, 1, g:leaf(0x5000, "wu") | 3 << 59)
local cpu = vm:vcpu()
cpu:start(g, { pke = true })
cpu:write(0x400000, { as = "user" })
cpu:pkru(2 << 6)                                    -- key 3: no writes
cpu:read(0x400000, { as = "user" })
cpu:write(0x400000, { as = "user", pf = "P W U PK" })
cpu:pkru(1 << 6)                                    -- key 3: nothing
cpu:read(0x400000, { as = "user", pf = "P U PK" })
cpu:fetch(0x400000, { as = "user" })                -- keys are for data
cpu:pkru(0)
cpu:write(0x400000, { as = "user", exits = 0 })
