# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of sessions and mappings (RFC 6888 REQ-12): to the journal and to an IPFIX collector."""

from .session_log import SessionLog

__all__ = ["SessionLog"]
