-- 3: attempt to index a nil value (global 'umbrella')
-- SPDX-License-Identifier: MIT
umbrella.vm {}
