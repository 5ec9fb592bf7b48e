# SPDX-License-Identifier: GPL-2.0-or-later
"""gateway.yaml into a `Config`, or into every reason why not.

Each problem names file, line and key; all that can be found in one pass are
reported together. Nothing here looks at the host: whether a device exists is
for `observe` to say.
"""

import os
import stat
from pathlib import Path

from ..errors import ConfigError, Problem
from ..model import Config
from . import future, schema
from .build import build
from .document import SIZE_MAX, read

__all__ = ["load", "parse"]


def load(path: Path | str) -> Config:
    """Read and check one file; raises ConfigError with all its problems."""
    file = str(path)
    try:
        content = _content(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"cannot be read: {reason}"
        raise ConfigError([Problem(file, 0, "", message, "config.unreadable")]) from error
    if len(content) > SIZE_MAX:
        raise ConfigError([Problem(file, 0, "", "larger than 1 MiB", "config.yaml")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "not UTF-8 text", "config.yaml")]) from error
    return parse(text, file)


def _content(path: Path | str) -> bytes:
    """Of a regular file, one byte more than it may have at most; never waits."""
    # Opening a FIFO would wait for its other end, and the whole agent with it.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(0, "not a regular file")
        with open(file, "rb", closefd=False) as stream:
            return stream.read(SIZE_MAX + 1)
    finally:
        os.close(file)


def parse(text: str, file: str) -> Config:
    """Check the text of a file; `file` is its name in messages."""
    document = read(text, file)
    schema.check(document, future.refuse(document))
    config = build(document)
    if document.problems:
        raise ConfigError(document.problems)
    return config
