# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that people use, through the gateway and through routers on both sides of it."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from hybrid_gateway.lab import GW_INSIDE, LAN, ROUTER, Lab
from hybrid_gateway.lab.extension import EDGE, FAR, FAR_MTU, ExtendedLab
from hybrid_gateway.lab.services import servers, wait_for_output
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import SERVER, SERVER2
from tests.lib.programs import blob_digest, curl, digest, run

from .fixtures import any_identification
from .wider import DEEP_MTU, LAN_DEEP, wider

SIZE = 3_000_000
STUN_PORT = 3478
UDP = 17


@pytest.fixture(scope="module")
def built(lab: Lab) -> Iterator[ExtendedLab]:
    with ExitStack() as stack:
        built = stack.enter_context(wider(lab))
        stack.enter_context(servers(built, "far", http=[f"{FAR}:80"]))
        yield built


@pytest.fixture
def wide(built: ExtendedLab) -> ExtendedLab:
    """No host remembers what it has learnt of any path."""
    for host in ("lan", "wan", "far", "deep"):
        built.run(host, ["ip", "route", "flush", "cache"])
    return built


@contextmanager
def serving(lab: Lab, host: str, argv: list[str], ready: bytes) -> Iterator[None]:
    """A server program, once it has said that it listens."""
    process = lab.popen(host, argv, stderr=subprocess.STDOUT)
    try:
        wait_for_output(process, ready)
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


class TestCurl:
    """Whole files by their digests; the path MTU has to be found out in the middle."""

    @pytest.mark.parametrize("host", ["lan", "deep"])
    def test_download(self, wide: ExtendedLab, gateway: Gateway, host: str) -> None:
        """To `deep`, the inside router says what does not fit (an error that leaves outside)."""
        counts = gateway.counting()
        assert digest(curl(wide, host, f"http://{FAR}/blob/{SIZE}")) == blob_digest(SIZE)
        seen = counts.now()
        assert seen["NAT_NEW_SESSION"] == 1
        assert (seen.get("NAT_ICMP_ERROR", 0) > 0) == (host == "deep"), seen

    @pytest.mark.parametrize("host", ["lan", "deep"])
    def test_upload(self, wide: ExtendedLab, gateway: Gateway, host: str) -> None:
        """The router beyond the gateway says what does not fit (an error that comes inside)."""
        data = bytes(i * i % 251 for i in range(SIZE // 10))
        counts = gateway.counting()
        answer = curl(wide, host, "-X", "PUT", "--data-binary", "@-", f"http://{FAR}/", stdin=data)
        assert answer.decode() == digest(data)
        # The inside router tells `deep` of a link that is narrower still.
        assert (counts.now().get("NAT_ICMP_ERROR", 0) > 0) == (host == "lan")

    def test_many_at_once(self, lab: Lab, gateway: Gateway, internet: None) -> None:  # noqa: ARG002
        counts = gateway.counting()
        urls = [f"http://{SERVER if i % 2 else SERVER2}/blob/20000" for i in range(60)]
        # Each gets a connection of its own: the servers close them.
        got = curl(lab, "lan", "--parallel", "--parallel-max", "20", *urls)
        assert len(got) == 60 * 20000
        counts.expect_some(NAT_NEW_SESSION=60, NAT_NEW_MAPPING=60)


def overflowed(lab: Lab, host: str) -> int:
    """Datagrams that came too fast for a socket: the program was not run on a busy machine."""
    answer = json.loads(lab.run(host, ["nstat", "--json", "--ignore", "--noupdate", "--zeros"]))
    return int(answer["kernel"]["UdpRcvbufErrors"])


class TestIperf3:
    """At a rate that the machine has to spare, nothing is lost on the way, in either direction."""

    def measured(self, lab: Lab, *arguments: str) -> dict[str, dict[str, float]]:
        server = ["iperf3", "-s", "-1", "-B", SERVER, "--forceflush"]
        client = ["iperf3", "-c", SERVER, "-J", "-t", "1", *arguments]
        with any_identification(lab), serving(lab, "wan", server, b"Server listening"):
            found = json.loads(run(lab, "lan", client))
        assert "error" not in found, found["error"]
        return dict(found["end"])

    @pytest.mark.parametrize("direction", [[], ["-R"]], ids=["up", "down"])
    def test_tcp(self, lab: Lab, gateway: Gateway, direction: list[str]) -> None:
        counts = gateway.counting()
        end = self.measured(lab, "-b", "100M", *direction)
        assert end["sum_received"]["bytes"] > 10_000_000
        seen = counts.now()
        # One connection controls, one carries; a lost first segment would be punted later.
        assert seen["NAT_NEW_SESSION"] == 2
        assert set(seen) == {"FORWARD", "NAT_NEW_SESSION", "NAT_NEW_MAPPING"}

    @pytest.mark.parametrize("direction", ["up", "down"])
    def test_udp(self, lab: Lab, gateway: Gateway, direction: str) -> None:
        """The session has counted each datagram, and one more by which iperf3 says hello."""
        counts = gateway.counting()
        reverse, receiver = {"up": ([], "wan"), "down": (["-R"], "lan")}[direction]
        before = overflowed(lab, receiver)
        end = self.measured(lab, "-u", "-b", "5M", "-l", "1200", *reverse)["sum"]
        assert end["packets"] > 400
        assert end["lost_packets"] <= overflowed(lab, receiver) - before
        (session,) = (s for s in gateway.sessions() if s["protocol"] == UDP)
        counted = {"up": session["packets_out"], "down": session["packets_in"]}
        assert counted[direction] == end["packets"] + 1
        assert set(counts.now()) == {"FORWARD", "NAT_NEW_SESSION", "NAT_NEW_MAPPING"}


class TestPing:
    def ping(self, lab: Lab, host: str, *arguments: str) -> str:
        argv = ["ping", "-n", "-i", "0.02", "-W", "2", *arguments]
        done = subprocess.run(
            lab.argv(host, argv), capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout + done.stderr

    @pytest.mark.parametrize("host", ["lan", "deep"])
    @pytest.mark.parametrize("size", [56, 4000])
    def test_answers(self, wide: ExtendedLab, gateway: Gateway, host: str, size: int) -> None:
        """4000 bytes are fragments both ways, cut once more by the routers."""
        counts = gateway.counting()
        said = self.ping(wide, host, "-c", "5", "-s", str(size), FAR)
        assert "5 packets transmitted, 5 received" in said
        seen = counts.now()
        assert seen["NAT_NEW_SESSION"] == 1
        assert seen["FORWARD"] >= (10 if size < 1000 else 30)

    def test_path_mtu(self, wide: ExtendedLab, gateway: Gateway) -> None:
        """What a router beyond the gateway refuses, the inside host hears of."""
        counts = gateway.counting()
        said = self.ping(wide, "lan", "-c", "1", "-M", "do", "-s", "1472", FAR)
        assert f"From {ROUTER.ip} icmp_seq=1 Frag needed and DF set (mtu = {FAR_MTU})" in said
        counts.expect(FORWARD=2, NAT_NEW_SESSION=1, NAT_NEW_MAPPING=1, NAT_ICMP_ERROR=1)
        said = self.ping(wide, "lan", "-c", "1", "-M", "do", "-s", str(FAR_MTU - 28), FAR)
        assert "1 received" in said


class TestTraceroute:
    """Every hop shows: the gateway, the router beyond it, and the host."""

    HOPS = (GW_INSIDE.ip, ROUTER.ip, EDGE, FAR)

    @pytest.mark.parametrize("kind", ["-I", "-U", "-T"])
    def test_traceroute(self, wide: ExtendedLab, gateway: Gateway, kind: str) -> None:
        counts = gateway.counting()
        said = run(wide, "lan", ["traceroute", "-n", kind, "-q", "1", "-w", "2", FAR]).decode()
        hops = re.findall(r"^ *\d+  ([0-9.]+)  ", said, re.MULTILINE)
        assert tuple(hops) == self.HOPS, said
        counts.expect_some(NAT_ICMP_ERROR=1)

    def test_from_behind_an_inside_router(self, wide: ExtendedLab, gateway: Gateway) -> None:  # noqa: ARG002
        said = run(wide, "deep", ["traceroute", "-n", "-I", "-q", "1", "-w", "2", FAR]).decode()
        hops = re.findall(r"^ *\d+  ([0-9.]+)  ", said, re.MULTILINE)
        assert tuple(hops) == ("192.168.112.1", LAN_DEEP, *self.HOPS), said

    @pytest.mark.parametrize(("host", "mtu", "hops"), [("lan", FAR_MTU, 4), ("deep", DEEP_MTU, 6)])
    def test_tracepath(
        self, wide: ExtendedLab, gateway: Gateway, host: str, mtu: int, hops: int
    ) -> None:
        counts = gateway.counting()
        said = run(wide, host, ["tracepath", "-n", FAR]).decode()
        assert f"Resume: pmtu {mtu} hops {hops}" in said, said
        counts.expect_some(NAT_ICMP_ERROR=2)


class TestStun:
    """Two clients and one server with two addresses must agree on what kind of NAT this is."""

    VERDICTS: ClassVar = {
        "endpoint-independent": "Independent Mapping, Independent Filter",
        "address-dependent": "Independent Mapping, Address Dependent Filter",
        "address-and-port-dependent": "Independent Mapping, Port Dependent Filter",
    }

    @pytest.fixture
    def stun_server(self, lab: Lab, tmp_path: Path) -> Iterator[None]:
        """coturn, for STUN only."""
        argv = ["turnserver", "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-cli"]
        argv += ["--log-file=stdout", "--simple-log", "--pidfile=/dev/null"]
        argv += [f"--userdb={tmp_path}/turndb"]
        argv += [f"--listening-port={STUN_PORT}", f"-L{SERVER}", f"-L{SERVER2}"]
        with serving(lab, "wan", argv, b"Total General servers"):
            yield

    @pytest.mark.parametrize("filtering", VERDICTS)
    def test_stun_client(
        self,
        lab: Lab,
        gateway: Gateway,
        stun_server: None,  # noqa: ARG002
        filtering: str,
    ) -> None:
        """RFC 3489's tests by stun-client: mapping, filtering and hairpinning in words."""
        gateway.apply(nat44(f"filtering: {filtering}"))
        argv = lab.argv("lan", ["stun", SERVER])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        said = done.stdout + done.stderr
        assert self.VERDICTS[filtering] in said, said
        assert "will hairpin" in said, said

    def test_natdiscovery(self, lab: Lab, gateway: Gateway, stun_server: None) -> None:  # noqa: ARG002
        """RFC 5780's by coturn's own client."""
        argv = ["turnutils_natdiscovery", "-m", "-f", "-L", LAN.ip, SERVER]
        said = run(lab, "lan", argv).decode()
        assert "NAT with Endpoint Independent Mapping!" in said, said
        assert "NAT with Address Dependent Filtering!" in said, said
