-- 3: more than 16 VMs
-- SPDX-License-Identifier: MIT
for i = 1, 17 do umbra.vm {} end
