-- SPDX-License-Identifier: MIT
--
-- M-4, A-14: everything a slot can be wrong in, and what the library says. Sizes and addresses
-- come from a management tool's arithmetic and are often off by a little; each mistake has
-- to be refused before it becomes a mapping.

local vm = umbra.vm { paging = "ept" }
vm:slot { id = 0, base = 0x800, size = "4M", error = "EINVAL" }
vm:slot { id = 0, base = 0, size = 0x1800, error = "EINVAL" }
vm:slot { id = 0, base = 0, size = "4M", hva = 0x1800, error = "EINVAL" }
vm:slot { id = 0, base = 0, size = "4M", flags = 0x80, error = "EINVAL" }
vm:slot { id = 32764, base = 0, size = "4M", error = "EINVAL" }
vm:slot { id = 0, base = (1 << 46) - 0x1000, size = "8K", error = "EINVAL" }
vm:slot { id = 0, base = 0, size = 1 << 43, error = "EINVAL" }
vm:slot { id = 7, size = 0, error = "EINVAL" }
vm:slot { id = 0, base = 0, size = "4M" }
vm:slot { id = 0, base = 0, size = "8M", error = "EINVAL" }          -- no resizing
vm:slot { id = 0, base = 0, size = "4M", readonly = true, error = "EINVAL" }
