-- 3: a scenario has at most 16 GiB of memory
-- SPDX-License-Identifier: MIT
umbra.vm { paging = "ept" }:slot { base = 0, size = "64G" }
