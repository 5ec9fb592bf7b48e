# SPDX-License-Identifier: GPL-2.0-or-later
"""python3 -m hybrid_gateway.cli"""

from . import main

main()
