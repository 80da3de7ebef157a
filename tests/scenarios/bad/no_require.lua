-- 3: attempt to call a nil value (global 'require')
-- SPDX-License-Identifier: MIT
require("os")
