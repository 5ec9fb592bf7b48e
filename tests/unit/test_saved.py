# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of saved sessions: whole or refused, and nothing in it ever becomes younger."""

import os
import random
import stat
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _gw_native import ffi

from hybrid_gateway.bpf import SavedError, SavedSessions, saved
from hybrid_gateway.bpf.carry import BLOCK, Block
from hybrid_gateway.bpf.saved import BODY, CHECKSUM, HEADER, RECORD, Moment

NS = 1_000_000_000
HOUR = 3600 * NS
SOME = 3 * BLOCK + 17


def records(count: int, left: int = HOUR) -> Any:
    """As many different sessions."""
    made = ffi.new("struct gw_saved[]", count)
    dice = random.Random(1)
    for record in made:
        record.left, record.age, record.protocol = left, 5, 17
        record.arrives.saddr, record.arrives.sport = dice.getrandbits(32), dice.getrandbits(16)
        record.traffic[0].bytes = dice.getrandbits(40)
    return made


def blocks(made: Any) -> Iterator[Block]:
    for start in range(0, len(made), BLOCK):
        part = made[start : min(start + BLOCK, len(made))]
        yield part, len(part)


def contents(file: SavedSessions) -> list[bytes]:
    return [bytes(ffi.buffer(block[i : i + 1])) for block, n in file.blocks() for i in range(n)]


def lefts(file: SavedSessions) -> list[int]:
    return [block[i].left for block, count in file.blocks() for i in range(count)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedSessions:
    """Empty; the clocks stand still."""
    clock = Moment(1_800_000_000 * NS, HOUR, bytes(range(16)))
    monkeypatch.setattr(saved.Moment, "now", classmethod(lambda _: clock))
    return SavedSessions(tmp_path / "state" / "sessions")


def later(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    after = replace(Moment.now(), **changes)
    monkeypatch.setattr(saved.Moment, "now", classmethod(lambda _: after))


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, SOME])
def test_what_was_written_is_read(file: SavedSessions, count: int) -> None:
    made = records(count)
    assert file.write(blocks(made), file.writing()) == count
    assert contents(file) == [bytes(ffi.buffer(made[i : i + 1])) for i in range(count)]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["sessions"]


def test_compresses_what_repeats(file: SavedSessions) -> None:
    file.write(blocks(ffi.new("struct gw_saved[]", 100_000)), file.writing())
    assert file.path.stat().st_size < 100_000 * RECORD // 50


class TestClocks:
    """Of the same boot the kernel's clock counts, of another one the wall's."""

    @pytest.mark.parametrize(
        ("boot", "wall", "uptime", "passed"),
        [
            ("same", 0, 60, 60),
            ("same", 9999, 60, 60),
            ("same", -9999, 60, 60),
            ("other", 60, -3500, 60),
            ("other", -60, -3500, 0),
            ("other", 0, 7000, 0),
        ],
    )
    def test_what_is_left(
        self,
        file: SavedSessions,
        monkeypatch: pytest.MonkeyPatch,
        boot: str,
        wall: int,
        uptime: int,
        passed: int,
    ) -> None:
        file.write(blocks(records(2)), file.writing())
        now = Moment.now()
        later(
            monkeypatch,
            wall=now.wall + wall * NS,
            uptime=now.uptime + uptime * NS,
            boot=now.boot if boot == "same" else bytes(16),
        )
        assert lefts(file) == [HOUR - passed * NS] * 2

    def test_the_expired_stay_away(
        self, file: SavedSessions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = records(SOME)
        for index in range(0, SOME, 3):
            made[index].left = 60 * NS
        file.write(blocks(made), file.writing())
        later(monkeypatch, uptime=Moment.now().uptime + 60 * NS)
        kept = lefts(file)
        assert kept == [HOUR - 60 * NS] * (SOME - len(range(0, SOME, 3)))

    def test_age_goes_on(self, file: SavedSessions, monkeypatch: pytest.MonkeyPatch) -> None:
        file.write(blocks(records(1)), file.writing())
        later(monkeypatch, uptime=Moment.now().uptime + 60 * NS)
        ((block, _),) = file.blocks()
        assert block[0].age == 65


def _header(raw: bytes, **changes: int) -> bytes:
    """With these fields, and a checksum that is right."""
    names = ("magic", "version", "record", "count", "wall", "uptime", "boot", "checksum")
    fields = dict(zip(names, HEADER.unpack_from(raw), strict=True))
    header = HEADER.pack(*(fields | changes).values())
    return header + CHECKSUM.pack(zlib.crc32(header)) + raw[BODY:]


def _body(raw: bytes, body: bytes) -> bytes:
    return _header(raw[:BODY] + body, checksum=zlib.crc32(body))


DAMAGE = {
    "not a file of saved sessions": (
        lambda _: b"",
        lambda _: b"GIF89a" + bytes(100),
        lambda raw: b"\x7f" + raw[1:],
    ),
    "truncated: its header is not whole": (lambda raw: raw[: BODY - 1], lambda raw: raw[:9]),
    "damaged: its header has another checksum": (
        lambda raw: raw[:20] + b"\xff" + raw[21:],
        lambda raw: raw[:BODY][:-1] + b"\xff" + raw[BODY:],
    ),
    "format version 2, this agent has 1": (lambda raw: _header(raw, version=2),),
    f"records of 96 bytes, this agent has {RECORD}": (lambda raw: _header(raw, record=96),),
    "truncated or damaged: its content has another checksum": (
        lambda raw: raw[:-1],
        lambda raw: raw[:BODY],
        lambda raw: raw + b"x",
        lambda raw: raw[:-20] + b"\xff" + raw[-19:],
    ),
    "damaged: it cannot be decompressed": (lambda raw: _body(raw, os.urandom(64)),),
    f"fewer than the {SOME + 1} sessions": (lambda raw: _header(raw, count=SOME + 1),),
    f"fewer than the {SOME} sessions": (
        lambda raw: _body(raw, b""),
        lambda raw: _body(raw, raw[BODY:-100]),
    ),
}


@pytest.mark.parametrize(
    ("message", "index"),
    [(message, i) for message, ways in DAMAGE.items() for i in range(len(ways))],
)
def test_damage_is_named(file: SavedSessions, message: str, index: int) -> None:
    file.write(blocks(records(SOME)), file.writing())
    file.path.write_bytes(DAMAGE[message][index](file.path.read_bytes()))
    with pytest.raises(SavedError, match=message) as caught:
        contents(file)
    assert str(caught.value).startswith(f"{file.path}: ")
    file.set_aside()
    assert not file.exists()
    assert file.damaged.exists()


def test_no_more_than_the_header_says(file: SavedSessions) -> None:
    file.write(blocks(records(SOME)), file.writing())
    file.path.write_bytes(_header(file.path.read_bytes(), count=BLOCK + 1))
    assert len(contents(file)) == BLOCK + 1


def test_a_fault_keeps_the_older_file(file: SavedSessions) -> None:
    file.write(blocks(records(7)), file.writing())

    def failing() -> Iterator[Block]:
        yield records(1), 1
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        file.write(failing(), file.writing())
    assert len(contents(file)) == 7
    assert [path.name for path in file.path.parent.iterdir()] == ["sessions"]


def test_what_is_removed_meanwhile_stays_removed(file: SavedSessions) -> None:
    since = file.writing()
    file.remove()
    file.write(blocks(records(7)), since)
    assert not file.exists()
    file.write(blocks(records(7)), file.writing())
    assert file.exists()
    file.forget()
    assert not file.path.parent.exists()
