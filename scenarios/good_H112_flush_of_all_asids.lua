-- SPDX-License-Identifier: MIT
--
-- H-112: TLB_CONTROL 3 flushes the ASID that is entered, TLB_CONTROL 1 all of them. L1 has two guests
-- with an ASID each and edits the tables of both. After an entry to the first with 3 the second
-- may go on with old translations; after one with 1 it may not, although its mirror was not
-- the one that was entered. Umbra keeps the mirrors of both and remembers what each owes.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "32M" }
local g = vm:tables("4")
local n = {}
for asid = 1, 2 do
  n[asid] = vm:tables("4", { owner = g, pool = 0x100000 + asid * 0x40000,
                             window = 0x38000000 + asid * 0x100000 })
  n[asid]:map(0x5000, 0x800000, "wu")
end
local cpu = vm:vcpu()
cpu:start(g)
local frame = 0x800000

local function touch(asid, tlb_control, expected)
  cpu:enter { npt = n[asid], asid = asid, tlb_control = tlb_control }
  cpu:read(0x5000, expected)
  cpu:leave()
end
local function edit()
  frame = frame + 0x1000
  for asid = 1, 2 do cpu:edit(n[asid], 0x5000, 1, n[asid]:leaf(frame, "wu")) end
end
for i = 1, 2 do
  for asid = 1, 2 do touch(asid, 0, { gpa = frame }) end
end

edit()
touch(1, 3, { gpa = frame })
touch(2, 0, { gpa = frame - 0x1000, bare = "stale" })
for i = 1, 2 do
  for asid = 1, 2 do touch(asid, 3, { gpa = frame }) end
end

edit()
print("-- all ASIDs")
touch(1, 1, { gpa = frame })
touch(2, 0, { gpa = frame })
for i = 1, 2 do
  for asid = 1, 2 do touch(asid, 3, { gpa = frame }) end
end

edit()
print("-- an entry without nested paging flushes all the same")
cpu:enter { asid = 2, tlb_control = 3 }
cpu:leave()
touch(2, 0, { gpa = frame })
touch(1, 0, { gpa = frame - 0x1000, bare = "stale" })
