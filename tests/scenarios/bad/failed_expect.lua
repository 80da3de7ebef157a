-- 1: two is not one
-- SPDX-License-Identifier: MIT
expect(2 == 1, "two is not one")
