-- 3: what is thrown
-- SPDX-License-Identifier: MIT
error("what is thrown")
