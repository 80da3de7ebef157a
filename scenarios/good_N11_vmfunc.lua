-- SPDX-License-Identifier: MIT
--
-- N-11, H-87: with VMFUNC L2 switches between EPTs of a list that L1 gives it, without an exit
-- to L1. Each EPTP has a mirror of its own, and going back to one finds it as it was. An index
-- of 512 or more, an EPTP that VM entry would refuse, or one of another walk length is exit 59
-- to L1.

local vm = umbra.vm { paging = "ept", levels = 5, page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
local f = vm:tables("ept4", { owner = g, pool = 0x180000, window = 0x39000000 })
local five = vm:tables("ept5", { owner = g, pool = 0x1c0000, window = 0x3a000000 })
e:map(0x5000, 0x805000, "rwx")
f:map(0x5000, 0x905000, "rw")
local LIST = 0x7000
vm:write(LIST, e:eptp())
vm:write(LIST + 8, f:eptp())
vm:write(LIST + 16, five:eptp())
vm:write(LIST + 24, 0x140005)
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e, eptp_list = LIST }
cpu:read(0x5000, { gpa = 0x805000 })
cpu:vmfunc(1)
cpu:read(0x5000, { gpa = 0x905000, exits = 1 })
cpu:vmfunc(0)
cpu:read(0x5000, { gpa = 0x805000, exits = 0 })
cpu:vmfunc(1)
cpu:fetch(0x5000, { violation = "fetch R W GVA FINAL GUEST_U GUEST_W" })
expect(cpu:nested().pointer == f:eptp(), "L1 finds the EPTP that L2 has switched to")
for _, index in ipairs({ 2, 3, 512, 0xffffffff }) do
  cpu:resume()
  cpu:vmfunc(index, { vmfail = true })
end
cpu:resume()
cpu:read(0x5000, { gpa = 0x905000, exits = 0 })
