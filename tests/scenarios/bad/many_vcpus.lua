-- 3: more than 4 vCPUs
-- SPDX-License-Identifier: MIT
local vm = umbra.vm {}
for i = 1, 5 do vm:vcpu() end
