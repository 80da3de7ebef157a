-- 3: the pool of page tables is not in a writable slot
-- SPDX-License-Identifier: MIT
umbra.vm {}:tables("4")
