-- 3: attempt to index a nil value (global 'io')
-- SPDX-License-Identifier: MIT
io.open("/etc/passwd")
