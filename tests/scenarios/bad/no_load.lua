-- 3: attempt to call a nil value (global 'load')
-- SPDX-License-Identifier: MIT
load("return 1")()
