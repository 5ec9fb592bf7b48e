# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 -m tests.bench [GROUP]`: side by side with the alternative, in one alternating run."""
