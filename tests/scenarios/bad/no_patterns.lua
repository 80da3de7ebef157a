-- 3: attempt to call a nil value (method 'find')
-- SPDX-License-Identifier: MIT
local s = ("x"):find("(.-)*")
