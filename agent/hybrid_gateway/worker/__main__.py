# SPDX-License-Identifier: GPL-2.0-or-later
"""python3 -m hybrid_gateway.worker"""

import sys

from . import main

sys.exit(main())
