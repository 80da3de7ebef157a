-- 3: attempt to index a nil value (global 'os')
-- SPDX-License-Identifier: MIT
os.execute("true")
