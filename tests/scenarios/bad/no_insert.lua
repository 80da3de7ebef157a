-- 3: attempt to call a nil value (field 'insert')
-- SPDX-License-Identifier: MIT
table.insert({}, 1, 2)
