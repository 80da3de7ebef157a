-- 3: paging: 'tdp' is none of shadow, ept, npt
-- SPDX-License-Identifier: MIT
umbra.vm { paging = "tdp" }
