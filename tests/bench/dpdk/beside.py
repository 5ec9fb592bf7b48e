# SPDX-License-Identifier: GPL-2.0-or-later
"""What groups have in common that replay frames: the file, and grout beside us."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import group
from tests.bench.dpdk import chroot
from tests.bench.dpdk.grout import Grout
from tests.bench.dpdk.replay import Forwarder, Replay
from tests.bench.group import Found
from tests.bench.measure import MeasurementError


@contextmanager
def replayed(name: str, write: Callable[[Path], int]) -> Iterator[Replay]:
    """The frames of a case, in a directory of their own; `write` says how many there are."""
    with TemporaryDirectory(prefix="gwbench-") as directory:
        pcap = Path(directory) / "replay.pcap"
        yield Replay(name, pcap, write(pcap))


class ReplayGroup(group.Group[Found]):
    def beside_grout(
        self,
        name: str,
        contenders: list[Forwarder],
        make: Callable[[Path], Grout],
        stack: ExitStack,
    ) -> None:
        """Puts it second of them; without it where there is none, which the reader is told."""
        try:
            if self._grout:
                contenders.insert(1, stack.enter_context(make(self._grout)))
        except MeasurementError as error:
            self._note(f"{name}: not beside grout: {error}")

    @cached_property
    def _grout(self) -> Path | None:
        try:
            return chroot.ready()
        except chroot.ChrootError as error:
            self._note(f"grout is not installed, so that nothing is beside it: {error}")
            return None
