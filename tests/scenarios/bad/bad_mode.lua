-- 3: mode: '6' is none of unpaged
-- SPDX-License-Identifier: MIT
umbra.vm {}:tables("6")
