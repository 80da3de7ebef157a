-- SPDX-License-Identifier: MIT
--
-- R-30..R-33: a tour of the special roots table. Hardware walks tables of one format, the guest
-- has another; whatever bridges the two must be some table. KVM has such tables outside of its
-- shadow pages (pae_root, pml4_root, pml5_root), with rules of their own. In Umbra they are
-- tables like all others: a "portal" stands above the guest's root and mirrors no guest bytes,
-- a "pae-" root has four entries below 4 GiB. Eight cases; read the story from top to bottom.

local PAGE, L2 = 0x5000, 0x800000

local function case(number, words) print("") print("-- case " .. number .. ": " .. words) end

-- A guest of @mode on Umbra's tables alone.
local function plain(config, mode, roles)
  local vm = umbra.vm(config)
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables(mode)
  local cpu = vm:vcpu()
  local gva = mode == "unpaged" and PAGE or 0x400000
  if mode ~= "unpaged" then g:map(gva, PAGE, "w") end
  cpu:start(g)
  cpu:read(gva, { gpa = PAGE, size = 4 })
  cpu:path(config.paging == "shadow" and gva or PAGE, roles)
end

-- L1 in @mode runs an unpaged L2 under its NPT, on nested tables of @levels.
local function nested(levels, mode, roles)
  local vm = umbra.vm { paging = "npt", levels = levels, page = "4k" }
  vm:slot { base = 0, size = "16M" }
  local g = vm:tables(mode, { window = false })
  local n = vm:tables(mode, { owner = g, window = false })
  n:map(PAGE, L2 + PAGE, "wu")
  n:map(0xc0000000 + PAGE, L2 + 2 * PAGE, "wu")   -- the last of the four gigabytes
  local cpu = vm:vcpu()
  cpu:start(g)
  cpu:enter { npt = n }
  cpu:write(PAGE, { value = 7, size = 4, gpa = L2 + PAGE })
  cpu:read(0xc0000000 + PAGE, { size = 4, gpa = L2 + 2 * PAGE })
  cpu:path(PAGE, roles)
  cpu:path(0xc0000000 + PAGE, roles)
end

case(1, "a guest without paging on shadow tables (gPG=0)")
print("-- There is no guest table, so Umbra's tables are direct: entry n leads to frame n. With")
print("-- paging off the guest reaches 4 GiB, and hardware walks PAE tables for it. KVM: pae_root.")
plain({ paging = "shadow", page = "4k" }, "unpaged", "pae-direct direct direct")

case(2, "a 2-level guest on shadow tables (gPG=1, gLMA=0, gPAE=0)")
print("-- The guest's two levels of 1024 entries become PAE: its page directory is mirrored by")
print("-- four tables of 512, a quarter each; the PAE root above them has no counterpart in the")
print("-- guest. KVM: pae_root; promotion 2 -> 3.")
plain({ paging = "shadow", page = "4k" }, "32", "pae-portal mirror mirror")

case(3, "a PAE guest on shadow tables (gPG=1, gLMA=0, gPAE=1)")
print("-- The same format on both sides: the root mirrors the guest's four PDPTEs. KVM: pae_root,")
print("-- which no shadow page stands behind, so it is rebuilt with each CR3.")
plain({ paging = "shadow", page = "4k" }, "pae", "pae-mirror mirror mirror")

case(4, "a guest under NPT of a 32-bit host (hLMA=0)")
print("-- The nested tables have the host's format, PAE. Nothing is mirrored. KVM: pae_root.")
plain({ paging = "npt", levels = 3, page = "4k" }, "pae", "pae-direct direct direct")

case(5, "L1 with 2-level paging runs L2 under NPT, 32-bit host (hLMA=0)")
print("-- L1's NPT has L1's format, two levels; hardware wants PAE. As case 2, but what is")
print("-- translated is L2's guest-physical address. KVM: pae_root; promotion 2 -> 3.")
nested(3, "32", "pae-portal mirror mirror")

case(6, "L1 with PAE runs L2 under NPT, 32-bit host")
print("-- As case 3; but PDPTEs of an NPT are read from memory when they are used, not loaded")
print("-- into registers, so the root is write-protected like any other mirrored table.")
nested(3, "pae", "pae-mirror mirror mirror")

case(7, "32-bit L1 runs L2 under NPT, 64-bit host (hLMA=1, hLA57=0 or 1)")
print("-- Promotions 2 -> 4, 3 -> 4, 2 -> 5, 3 -> 5. L2 has 4 GiB at most, so all but the first")
print("-- entry (in the root) stay empty. KVM: pml5_root -> pml4_root -> pae_root, three tables")
print("-- without shadow pages. Here: portals; and the PDPTEs need not lie below 4 GiB.")
nested(4, "32", "portal portal mirror mirror")
nested(4, "pae", "portal mirror mirror mirror")
nested(5, "32", "portal portal portal mirror mirror")
nested(5, "pae", "portal portal mirror mirror mirror")

case(8, "64-bit L1 with 4 levels (gLA57=0) runs L2 under NPT of a 5-level host")
print("-- Promotion 4 -> 5. The one case in which KVM had an ordinary shadow page, with the gfn of")
print("-- L1's root, but took it for a mirror of it. What goes wrong then is told in")
print("-- good_R32_la57_and_the_same_root.lua. The answer was role.passthrough: a portal.")
nested(5, "4", "portal mirror mirror mirror mirror")

print("")
print("-- And the rest, for comparison: where the levels are equal there is no portal.")
nested(4, "4", "mirror mirror mirror mirror")
nested(5, "5", "mirror mirror mirror mirror mirror")
plain({ paging = "shadow", page = "4k" }, "5", "mirror mirror mirror mirror mirror")
