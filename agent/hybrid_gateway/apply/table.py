# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the nftables table, the data plane's stand-in; and its sets, which follow the mirror."""

from ..errors import KernelError
from ..mirror import Mirror
from ..model import FallbackTable
from ..nft import Nft
from ..nft_vxlan import Sets
from .record import Record
from .undo import Undo, nothing, void


class TableSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, nft: Nft, mirror: Mirror, record: Record) -> None:
        self._nft = nft
        self._mirror = mirror
        self._record = record
        self._sets: Sets = {}
        """As they were written last."""

    def write(self, table: FallbackTable) -> Undo:
        before = self._record.written.table
        # An earlier agent's says the same, most likely; without one the kernel translates nothing.
        of_another = not before and bool(self._nft.fingerprint())
        sets = self._senders(table)
        self._record.write(table=table, fingerprint=self._nft.write(table, sets))
        self._sets = sets

        def undo() -> None:
            if before:
                self.write(before)
            elif of_another:
                self._record.write(table=None, fingerprint="")
            else:
                self.remove(None)

        return undo

    def remove(self, _: None) -> Undo:
        before = self._record.written.table
        self._nft.remove()
        self._record.write(table=None, fingerprint="")
        return (lambda: void(self.write(before))) if before else nothing

    def follow(self) -> None:
        """Lets those send VXLAN that the mirror knows by now, and nobody else."""
        table = self._record.written.table
        if table is None or not table.sources:
            return
        sets = self._senders(table)
        if sets == self._sets:
            return
        try:
            fingerprint = self._nft.change(self._sets, sets)
        except KernelError:  # somebody else changed them: all of it anew
            fingerprint = self._nft.write(table, sets)
        self._record.write(fingerprint=fingerprint)
        self._sets = sets

    def _senders(self, table: FallbackTable) -> Sets:
        """A single VXLAN device is open for IPv4 and IPv6, and its VTEPs have one of them."""
        return {
            of: frozenset(
                vtep
                for vtep in self._mirror.sources(of.ifindex, of.vni)
                if vtep.version == of.family
            )
            for of in table.sources
        }
