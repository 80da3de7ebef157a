-- SPDX-License-Identifier: MIT
--
-- F-33: until 2026 KVM's TDP MMU dropped the address bits that its tables do not translate. A
-- program put a slot at 1 << 48, prefaulted it on a VM of four levels, and the page
-- appeared at gpa 0; the next fault on gpa 0 found an entry there, but to another frame than
-- the slot has, and warned. Umbra with that bug switched in does the same; its check for a
-- changed frame (T-31) is invariant I-17, and names both frames. `run --config
-- bug.truncate_gpa=1` switches it in for any scenario.

local function guest(bug)
	local vm = umbra.vm { paging = "ept", levels = 4, maxphyaddr = 52, page = "4k", bug = bug }
	vm:slot { base = 0, size = "4M" }
	vm:slot { id = 1, base = 1 << 48, size = "64K", unmappable = true }
	return vm, vm:vcpu()
end

local vm, cpu = guest("truncate_gpa")
vm:mark()
cpu:prefault(1 << 48, 0x1000)                        -- no: it is mapped at gpa 0
vm:audit { tolerate = "I-17" }
cpu:prefault(0, 0x1000)                              -- "mapped already" - but to what?
vm:counts { pf_changed_pfn = 1, pages_4k = 1 }
vm:audit { found = true }
cpu:start()
cpu:read(0x10, { gpa = (1 << 48) + 0x10, bare = "illegal" })

-- Without the bug.
vm, cpu = guest()
vm:mark()
cpu:prefault(1 << 48, 0x1000, { error = "EUNMAPPABLE" })
cpu:prefault(0, 0x1000)
vm:counts { pf_changed_pfn = 0, pages_4k = 1 }
cpu:start()
cpu:read(0x10, { gpa = 0x10, exits = 0 })
