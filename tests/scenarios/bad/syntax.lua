-- 3: syntax error near 'slot'
-- SPDX-License-Identifier: MIT
local vm = umbra.vm {}
vm slot { }
