-- 3: such a VM cannot be
-- SPDX-License-Identifier: MIT
umbra.vm { paging = "ept", levels = 3 }
