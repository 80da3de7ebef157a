-- 3: attempt to call a nil value (global 'pcall')
-- SPDX-License-Identifier: MIT
pcall(function() end)
