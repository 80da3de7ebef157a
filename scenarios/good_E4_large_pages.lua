-- SPDX-License-Identifier: MIT
--
-- Large pages: a slot whose guest-physical and host-physical addresses agree modulo 2 MiB,
-- in host memory that is contiguous, is mapped with level 2 entries; 1 GiB likewise. One exit
-- then does for 512 pages, and a TLB entry too. If host memory lies 4 KiB off (skew) nothing
-- larger than 4 KiB fits, and Umbra must not try.

for _, want in ipairs { { page = "4k", level = 1 }, { page = "2m", level = 2 },
                        { page = "1g", level = 3 }, { page = "1g", skew = true, level = 1 } } do
  local vm = umbra.vm { paging = "ept", page = want.page, skew = want.skew }
  vm:slot { base = 0, size = "2G" }
  local cpu = vm:vcpu()
  cpu:start()
  cpu:write(0x5000, { value = 1, level = want.level })
  cpu:entry(0x5000, 0, { leaf = true, level = want.level })
  cpu:read(0x6000, { exits = want.level == 1 and 1 or 0 })
end
