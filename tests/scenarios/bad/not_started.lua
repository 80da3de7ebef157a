-- 1: expected that it completes, saw
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "shadow" }
local cpu = vm:vcpu()
cpu:start()
cpu:read(0x5000)
