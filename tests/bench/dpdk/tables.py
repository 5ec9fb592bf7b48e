# SPDX-License-Identifier: GPL-2.0-or-later
"""Routing tables: small ones, and such as have the shape of the public BGP table.

Everything follows from a seed, so that every contender and every run has the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from random import Random

SEED = 5
NEXT_HOPS = 1000
# Where the next hops are; no route of a table overlaps with it.
LINKS: Mapping[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("198.18.0.0/16"),
    6: IPv6Network("fd00:bee::/64"),
}
# Shares of the prefix lengths in the table without a default route, in thousandths, as route
# collectors have had them in the last years; what is longer is filtered.
SHARES: Mapping[int, Mapping[int, int]] = {
    4: {
        **{12: 1, 13: 1, 14: 2, 15: 3, 16: 14, 17: 8, 18: 15, 19: 26},
        **{20: 43, 21: 51, 22: 109, 23: 107, 24: 620},
    },
    6: {
        **{29: 25, 30: 3, 31: 2, 32: 130, 33: 12, 34: 10, 35: 8, 36: 40, 38: 20, 40: 95},
        **{42: 30, 43: 5, 44: 105, 45: 10, 46: 30, 47: 25, 48: 450},
    },
}
MORE_SPECIFIC = 0.5
"""Share of the prefixes that lie within another one: it is half of the real table."""
# Where prefixes stand alone: unicast without 0/8, 10/8, 127/8 and LINKS, and the part of IPv6 that
# registries have handed out.
BLOCKS = {
    4: tuple((n << 24, 8) for n in range(1, 224) if n not in (10, 127, 198)),
    6: tuple(
        (int(IPv6Address(block)), 13)
        for block in ("2000::", "2400::", "2600::", "2800::", "2a00::", "2c00::")
    ),
}
NEAR, TOGETHER_BITS = 0.6, 6
"""This share of the pieces of a prefix is among its first: holders count from the beginning."""


@dataclass(frozen=True, slots=True)
class Route:
    prefix: int
    length: int
    next_hop: int  # 0 to NEXT_HOPS - 1


@dataclass(frozen=True)
class Table:
    """Routes of one family, without duplicates, by NEXT_HOPS next hops."""

    family: int
    routes: tuple[Route, ...]

    @property
    def bits(self) -> int:
        return 32 if self.family == 4 else 128

    def text(self, route: Route) -> str:
        return f"{address(self.family, route.prefix)}/{route.length}"

    def destinations(self, count: int) -> list[int]:
        """Addresses within routes that are drawn at random, or in turn when count allows all."""
        random = Random(SEED + 1)
        if count >= len(self.routes):
            drawn = [self.routes[n % len(self.routes)] for n in range(count)]
            random.shuffle(drawn)
        else:
            drawn = random.sample(self.routes, count)
        return [self._inside(random, route) for route in drawn]

    def lengths(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for route in self.routes:
            found[route.length] = found.get(route.length, 0) + 1
        return dict(sorted(found.items()))

    def _inside(self, random: Random, route: Route) -> int:
        """Neither the first nor the last address."""
        return route.prefix + random.randrange(1, (1 << (self.bits - route.length)) - 1)


def address(family: int, number: int) -> str:
    packed = number.to_bytes(4 if family == 4 else 16, "big")
    return str(ip_address(packed))


def gateway(family: int, number: int) -> str:
    return str(LINKS[family][2 + number])


def gateway_mac(number: int) -> str:
    return f"02:be:00:00:{number >> 8:02x}:{number & 255:02x}"


def small(family: int, routes: int = 1000) -> Table:
    """As many /24 or /48 with a next hop each, as next hops go."""
    length, first = (24, 0x0A000000) if family == 4 else (48, 0x20010DB8 << 96)
    step = 1 << ((32 if family == 4 else 128) - length)
    return Table(
        family, tuple(Route(first + n * step, length, n % NEXT_HOPS) for n in range(routes))
    )


def real(family: int, routes: int) -> Table:
    """With the shape of the public table: lengths, more specifics within others, few next hops."""
    random = Random(SEED)
    bits = 32 if family == 4 else 128
    shares = SHARES[family]
    whole = sum(shares.values())
    found: dict[tuple[int, int], int] = {}
    covering: list[tuple[int, int]] = []
    for length, share in shares.items():
        wanted = round(routes * share / whole)
        new: set[tuple[int, int]] = set()
        while len(new) < wanted:
            new.add((_prefix(random, family, covering, length, bits), length))
        in_order = sorted(new)
        for key in in_order:
            found[key] = random.randrange(NEXT_HOPS)
        covering += in_order
    return Table(family, tuple(Route(*key, next_hop) for key, next_hop in found.items()))


def _prefix(
    random: Random, family: int, covering: list[tuple[int, int]], length: int, bits: int
) -> int:
    """Inside one that is there, as about half of the real table are, or anywhere.

    Of IPv6, nothing longer than /32 stands alone: registries hand out no less. Some holders
    announce many pieces, and most of them few.
    """
    alone = random.random() >= MORE_SPECIFIC and (family == 4 or length <= 32)
    if alone or not covering:
        prefix, short = random.choice(BLOCKS[family])
    else:
        prefix, short = covering[int(len(covering) * random.random() ** 3)]
    free = length - short
    if not alone and random.random() < NEAR:
        free = min(free, TOGETHER_BITS)
    return prefix | random.getrandbits(free) << (bits - length)
