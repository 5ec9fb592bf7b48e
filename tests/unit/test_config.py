# SPDX-License-Identifier: GPL-2.0-or-later
"""gateway.yaml: each file in config_cases carries the errors that it must give.

`# ! TEXT` at the end of a line means: this line gives exactly this error.
"""

import contextlib
import os
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_gateway import config
from hybrid_gateway.errors import ConfigError, Problem
from hybrid_gateway.model import (
    BYPASS_ALL,
    Backend,
    Config,
    Filtering,
    Identity,
    MssClamp,
    Nat44,
    NatLog,
    OneToOne,
    PerHost,
    Port,
    PortForward,
    PortRange,
    Protocol,
    Sources,
    Timeouts,
    Vxlan,
)

CASES = sorted((Path(__file__).parent / "config_cases").glob("*.yaml"))
MARK = "# ! "
VTEP, VTEP6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
SITE = """\
version: 1
ports: {lan0: {device: br-lan}, wan0: {device: enp2s0}}
nat44: {inside: [br-lan], outside: wan0%s}
"""


def expected(path: Path) -> set[tuple[int, str]]:
    return {
        (number, text.strip())
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for text in line.split(MARK)[1:]
    }


def problems_of(path: Path) -> tuple[Problem, ...]:
    try:
        config.load(path)
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    problems = problems_of(path)

    assert [p.line for p in problems] == sorted(p.line for p in problems)
    assert all(str(p).startswith(f"{path}:{p.line}: ") for p in problems)
    found = {(p.line, f"{p.key}: {p.message}" if p.key else p.message) for p in problems}
    assert found == expected(path)


def test_everything_given() -> None:
    path = Path(__file__).parent / "config_cases" / "good_full.yaml"

    found = config.load(path)

    assert found == Config(
        version=1,
        path=str(path),
        ports=(Port("lan0", "enp1s0", line=3), Port("wan0", "enp2s0", line=4)),
        nat44=Nat44(
            inside=("br-lan", "enp3s0"),
            outside="wan0",
            addresses=(IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")),
            sessions=131072,
            filtering=Filtering.ENDPOINT_INDEPENDENT,
            ports=PortRange(30000, 39999),
            timeouts=Timeouts(120, 61, 241, 7441, 0),
            static=(
                PortForward(Protocol.TCP, None, 2222, IPv4Address("192.168.110.10"), 22, 15),
                PortForward(
                    Protocol.UDP,
                    IPv4Address("203.0.113.7"),
                    53,
                    IPv4Address("192.168.110.10"),
                    5353,
                    16,
                ),
                OneToOne(IPv4Address("203.0.113.9"), IPv4Address("192.168.110.20"), 17),
                PortForward(
                    Protocol.TCP, None, 5000, IPv4Address("192.168.110.10"), 6000, 18, ports=100
                ),
                PortForward(
                    Protocol.TCP,
                    None,
                    443,
                    IPv4Address("192.168.110.11"),
                    443,
                    19,
                    backends=(
                        Backend(IPv4Address("192.168.110.11"), 443, 2),
                        Backend(IPv4Address("192.168.110.12"), 8443),
                    ),
                ),
                Identity(Protocol.UDP, IPv4Address("192.168.110.30"), 4789, 20),
            ),
            per_host=PerHost(100, 50),
            mss_clamp="pmtu",
            log=NatLog(True, True, True, (IPv4Address("127.0.0.1"), 4739)),
            persist=True,
            line=5,
            inside_lines=(6, 6),
        ),
        vxlan=(
            Vxlan("vni550", line=25),
            Vxlan("vxlan0", 7, Sources.ANY, fragment=False, line=26),
            Vxlan("vxlan0", 8, Sources.LISTED, (VTEP, VTEP6), line=27),
        ),
        bypass=("nft inet filter forward", "qdisc wan0 htb"),
    )
    assert found.warnings == ()


def test_defaults() -> None:
    found = config.parse(SITE % "", "gateway.yaml")

    assert found.nat44 == Nat44(inside=("br-lan",), outside="wan0", line=3, inside_lines=(3,))
    assert found.outside_port == Port("wan0", "enp2s0", line=2)
    assert found.bypass == ()


def test_vxlan_works_without_nat() -> None:
    found = config.load(Path(__file__).parent / "config_cases" / "vxlan_alone.yaml")

    assert found.nat44 is None
    assert found.vxlan == (Vxlan("vni550", None, Sources.LEARNED, (), True, line=4),)


def test_bypass_of_everything() -> None:
    assert config.parse("version: 1\nbypass: accepted", "x").bypass == (BYPASS_ALL,)


def test_timeouts_below_the_rfc_are_allowed_and_pointed_out() -> None:
    text = SITE % ", timeouts: {udp: 10, icmp: 59, tcp-transitory: 239, tcp-established: 7439}"

    warnings = config.parse(text, "x").warnings

    assert [w.message for w in warnings] == [
        "10 s is below the 120 s of RFC 4787",
        "59 s is below the 60 s of RFC 5508",
        "239 s is below the 240 s of RFC 5382",
        "7439 s is below the 7440 s of RFC 5382",
    ]
    assert warnings[0].where == "x:3: nat44.timeouts.udp"


def test_a_share_larger_than_the_whole_is_pointed_out() -> None:
    text = SITE % ", sessions: 4096, per-host: {sessions: 5000, ports: 40000}"

    assert [w.message for w in config.parse(text, "x").warnings] == [
        "5000 has no effect: 4096 sessions in all",
        "40000 has no effect: 30000 ports in all",
    ]


@pytest.mark.parametrize(("last", "left"), [(20899, None), (20900, 99), (20998, 1)])
def test_few_ports_left_are_pointed_out(last: int, left: int | None) -> None:
    forward = f'{{protocol: tcp, outside: ":20000-{last}", inside: "10.0.0.1:20000"}}'
    found = config.parse(SITE % f", ports: 20000-20999, static: [{forward}]", "x")

    assert [str(w.message) for w in found.warnings] == [
        f"what is forwarded leaves {left} tcp ports in nat44.ports, 20000-20999"
    ] * (left is not None)


@pytest.mark.parametrize(
    ("text", "clamp"),
    [
        ("off", None),
        ('"off"', None),
        ("false", None),
        ("pmtu", "pmtu"),
        ("536", 536),
        ("8960", 8960),
    ],
)
def test_the_mss_may_be_clamped(text: str, clamp: MssClamp) -> None:
    found = config.parse(SITE % f", mss-clamp: {text}", "x")

    assert found.nat44
    assert found.nat44.mss_clamp == clamp


@pytest.mark.parametrize("text", ["535", "8961", "on", "path", "1400.5", "[1400]"])
def test_a_wrong_mss_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be off, pmtu, or a number of bytes from 536 to"):
        config.parse(SITE % f", mss-clamp: {text}", "x")


def test_destinations_of_nothing_are_pointed_out() -> None:
    text = SITE % ", log: {mappings: true, destinations: true}"

    assert [str(w.message) for w in config.parse(text, "x").warnings] == [
        "has no effect without sessions: true or a collector"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; it needs at least `version: 1`"),
        (b"# nothing\n", "the file is empty; it needs at least `version: 1`"),
        (b"version: 1\n\xff: 2\n", "not UTF-8 text"),
        (b"version: 1\nports: {a: \x07}\n", "not valid YAML: "),
        (b"version: 1\n---\nversion: 1\n", "not valid YAML: "),
        (b"version: 1\n\tports: {}\n", "not valid YAML: "),
        (b"[" * 50_000, "nested too deeply"),
        (b"version: 1\n#" + b"x" * (1 << 20), "larger than 1 MiB"),
        # Two bytes each: what is read of it ends within one.
        (b"version: 1\n#" + "é".encode() * (1 << 19), "larger than 1 MiB"),
        (b"version: 1\n? [a]\n: 1\n", "a key is a list or a mapping, and must be text"),
    ],
)
def test_not_a_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        config.load(path)

    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file") as caught:
        config.load(tmp_path / "none.yaml")

    assert caught.value.to_json()["code"] == "config.unreadable"


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket"])
def test_something_else_than_a_file(tmp_path: Path, kind: str) -> None:
    """Least of all does it wait until somebody writes into a FIFO."""
    path = tmp_path / "gateway.yaml"
    reason = "not a regular file"
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            listener.bind(str(path))
            reason = "No such device"
        with pytest.raises(ConfigError, match=rf"gateway\.yaml: cannot be read: {reason}"):
            config.load(path)


def test_errors_for_programs() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse("version: 1\nprots: {}\nnat44: 3\n", "x")

    answer = caught.value.to_json()
    assert answer["code"] == "config.unknown-key"
    assert answer["where"] == "x:2: prots"
    assert [problem["line"] for problem in answer["problems"]] == [2, 3]


KEYS = [
    "version",
    "ports",
    "nat44",
    "static",
    "outside",
    "inside",
    "addresses",
    "protocol",
    "identity",
    "bypass",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([":22", ":5-9", "1.2.3.4:7", "1.2.3.4", "tcp", "interface"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=60) | values.map(lambda value: f"{{version: 1, ports: {{}}, nat44: {value}}}")
)
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    # Either outcome is right; any other exception is not.
    with contextlib.suppress(ConfigError):
        assert isinstance(config.parse(text, "x"), Config)
