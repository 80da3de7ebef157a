-- 1: expected EEXIST, saw OK
-- SPDX-License-Identifier: MIT
umbra.vm {}:slot { base = 0, size = "4K", error = "EEXIST" }
