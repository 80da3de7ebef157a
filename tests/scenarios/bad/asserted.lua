-- 3: assertion failed
-- SPDX-License-Identifier: MIT
assert(1 == 2)
