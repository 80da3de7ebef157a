-- SPDX-License-Identifier: MIT
--
-- N-15, H-70, H-96, H-133: L1 tries to run L2 with what no CPU accepts. VM entry fails, VMRUN
-- ends with VMEXIT_INVALID: L1 hears of it, nothing has changed and nothing was made for it.
-- What the CPU would do but Umbra cannot show this VM's guest at all (EPT on an NPT machine) is
-- the embedder's mistake.

local vm = umbra.vm { paging = "ept", page = "4k", layout = "7.3" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
local cpu = vm:vcpu { without = "ept_5 ept_ad mbec" }
cpu:start(g)
local eptp = e:eptp(false)
local function refused(words, pointer)
  print("-- " .. words)
  cpu:enter { ept = e, pointer = pointer, vmfail = true }
end
refused("memory type 1", eptp & ~7 | 1)
refused("three levels", eptp & ~0x38 | 2 << 3)
refused("five levels, which this CPU lacks", eptp & ~0x38 | 4 << 3)
refused("A and D bits, which it lacks", eptp | 1 << 6)
refused("a reserved bit", eptp | 1 << 8)
refused("a root beyond MAXPHYADDR", eptp | 1 << 50)
print("-- MBEC, which it lacks; paging without protection; PCIDs outside of long mode")
cpu:enter { ept = e, mbec = true, vmfail = true }
cpu:enter { ept = e, pg = true, pe = false, vmfail = true }
cpu:enter { ept = e, pcide = true, vmfail = true }
cpu:enter { npt = g, status = "EOPNOTSUPP" }
cpu:enter { ept = e }
cpu:leave()

vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
g = vm:tables("4")
local n = vm:tables("4", { owner = g })
cpu = vm:vcpu()
cpu:start(g)
cpu:enter { npt = n, asid = 0, vmfail = true }
cpu:enter { npt = n, pointer = 1 << 50, vmfail = true }
cpu:enter { npt = n, nw = true, vmfail = true }
cpu:start()
cpu:enter { npt = n, vmfail = true }               -- L1 itself does not page
