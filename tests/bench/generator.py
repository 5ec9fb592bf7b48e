# SPDX-License-Identifier: GPL-2.0-or-later
"""The C tool `gw-bench` as an object: one process, one run after the other."""

import json
import subprocess
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Self

from tests.bench.path import INSIDE, ROOT, MeasuredPath

TOOL = ROOT / "build/bench/gw-bench"
PROGRAMS = ROOT / "build/bench/bench_xdp.bpf.o"
CPU = 1
"""Where everything happens; several cores are this one and those below it."""


@dataclass(frozen=True)
class Flows:
    """Endpoints follow one another, frame by frame, and so do destinations, at their own pace."""

    endpoints: int = 1
    ports_per_host: int = 1
    destinations: int = 1
    destination_step: int = 1
    first_destination: int = 0


class Exchange(IntEnum):
    """enum bench_exchange: what a TCP generator and its sink say to each other."""

    ONE_WAY = 0
    HANDSHAKE = 1
    TEARDOWN = 2


@dataclass(frozen=True)
class Traffic:
    """What one run sends: so many frames by each core, to destinations of its own.

    Of an exchange, frames are the first segments; what arrives are the last ones. What is sent
    backwards goes from the outside port to the inside one.
    """

    frames: int
    flows: Flows
    exchange: Exchange = Exchange.ONE_WAY
    cores: int = 1
    backwards: bool = False
    gap_ns: int = 0  # from one frame to the next at least

    @property
    def total(self) -> int:
        return self.frames * self.cores

    @property
    def passages(self) -> int:
        """How many frames go through the middle."""
        return self.total * (1 if self.exchange is Exchange.ONE_WAY else 3)


@dataclass(frozen=True)
class Result:
    frames: int
    ns: int  # wall time until the last frame was at the sink
    waited_ns: int  # while something else had the cores
    received: int
    late: int  # arrived after the generator had returned
    untranslated: int
    bad_checksum: int
    others: int
    first_pieces: int  # of frames that are to come in two

    @property
    def ns_per_frame(self) -> float:
        return self.ns / self.frames

    @property
    def lost(self) -> int:
        return self.frames - self.received

    @property
    def waited_share(self) -> float:
        return self.waited_ns / self.ns


class Tool:
    """One running gw-bench; leaving the context ends it, and with it everything it attached."""

    def __init__(self, argv: list[str], programs: Path = PROGRAMS) -> None:
        self._process = subprocess.Popen(
            [str(TOOL), *argv, "--object", str(programs), "--cpu", str(CPU)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The tool ends at the end of its input.
        self._pipe(self._process.stdin).close()
        self._process.wait(timeout=30)
        self._pipe(self._process.stdout).close()

    def read_line(self) -> str:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"gw-bench ended with {self._process.wait(timeout=30)}")
        return line

    def write_line(self, line: str) -> None:
        pipe = self._pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


class Sender(Tool):
    """A gw-bench that sends and counts."""

    def send(self, traffic: Traffic) -> Result:
        numbers = asdict(traffic.flows) | {
            "frames": traffic.frames,
            "exchange": traffic.exchange.value,
            "cores": traffic.cores,
            "gap_ns": traffic.gap_ns,
        }
        self.write_line(" ".join(f"{k.replace('_', '-')}={v}" for k, v in numbers.items()))
        return Result(**json.loads(self.read_line()))


class Generator(Sender):
    """Sends through a path and counts at its sink."""

    def __init__(self, path: MeasuredPath, *, protocol: str = "udp", verify: bool = False) -> None:
        names = path.names
        ends = ["--in-netns", names.generator, "--in-device", "gen0"]
        ends += ["--out-netns", names.sink, "--out-device", "sink0"]
        ends += ["--gateway-mac", path.mac(names.middle, "lan0"), "--inside", INSIDE]
        ends += ["--protocol", protocol, *(["--verify"] if verify else [])]
        super().__init__(["generate", *ends])


class Redirect(Tool):
    """The bare redirect in the middle of a path: what every figure is compared with."""

    def __init__(
        self, path: MeasuredPath, *, protocol: str = "udp", backwards: bool = False
    ) -> None:
        names = path.names
        devices, peer = ["lan0", "wan0"], path.mac(names.sink, "sink0")
        if backwards:
            devices, peer = ["wan0", "lan0"], path.mac(names.generator, "gen0")
        ends = ["--in-netns", names.middle, "--in-device", devices[0]]
        ends += ["--out-netns", names.middle, "--out-device", devices[1]]
        super().__init__(["redirect", *ends, "--gateway-mac", peer, "--protocol", protocol])
        self.read_line()  # "attached"
