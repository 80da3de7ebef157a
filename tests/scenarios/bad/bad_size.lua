-- 3: size: expected a size as
-- SPDX-License-Identifier: MIT
umbra.vm {}:slot { base = 0, size = "4Q" }
