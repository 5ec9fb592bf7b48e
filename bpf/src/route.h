/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a packet goes next: the kernel's FIB is asked, then the mirror of the bridge's FDB. */
#ifndef GW_ROUTE_H
#define GW_ROUTE_H
#include "counters.h"
#include "packet.h"

enum {
	AF_INET = 2,
	IPV4_MIN_MTU = 68, /* fits every link (RFC 791 3.2), so no MTU has to be found out */
};

/* Asks for the way to `target` as the kernel would see this packet. A length of 0 asks no MTU. */
static __always_inline long
route_find(struct xdp_md *ctx, struct bpf_fib_lookup *fib, const struct packet *pkt, __u32 target,
	   __u16 length)
{
	fib->family = AF_INET;
	fib->l4_protocol = pkt->key.protocol;
	fib->sport = pkt->key.tuple.sport;
	fib->dport = pkt->key.tuple.dport;
	fib->tot_len = length > IPV4_MIN_MTU ? length : 0;
	fib->ifindex = pkt->ingress;
	fib->tos = pkt->tos;
	fib->ipv4_src = pkt->key.tuple.saddr;
	fib->ipv4_dst = target;
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
}

enum { WAY_RESULT = 0xff };

/* The way to `target`, MTU aside: what the FIB says (BPF_FIB_LKUP_RET_*) and, above that, the
 * device. In a frame of its own: a lookup's parameters are large. */
__noinline __u64
route_ask(struct xdp_md *ctx, const struct packet *pkt, __u32 target)
{
	struct bpf_fib_lookup fib = {};
	long found;

	if (!pkt)
		return BPF_FIB_LKUP_RET_BLACKHOLE;
	found = route_find(ctx, &fib, pkt, target, 0);
	if (found < 0)
		return BPF_FIB_LKUP_RET_BLACKHOLE;
	return (__u64)fib.ifindex << 8 | found;
}

static __always_inline bool
way_known(__u64 way)
{
	__u8 result = way & WAY_RESULT;

	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH;
}

static __always_inline __u32
way_ifindex(__u64 way)
{
	return way >> 8;
}

/* Would an answer to this source go back the way the packet came? */
static __always_inline bool
source_belongs(struct xdp_md *ctx, const struct packet *pkt)
{
	__u64 way = route_ask(ctx, pkt, pkt->key.tuple.saddr);

	return way_known(way) && way_ifindex(way) == pkt->ingress;
}

/* A source that is one of ours or lives inside does not come from outside. */
static __always_inline bool
source_is_ours(struct xdp_md *ctx, const struct packet *pkt)
{
	__u64 way = route_ask(ctx, pkt, pkt->key.tuple.saddr);
	struct gw_device *dev = device(way_ifindex(way));

	if ((way & WAY_RESULT) == BPF_FIB_LKUP_RET_NOT_FWDED)
		return true;
	return way_known(way) && dev && dev->flags & GW_DEV_INSIDE;
}

/* Neither 0/8, 127/8, multicast, reserved nor the broadcast address (RFC 1812 5.3.7). The FIB alone
 * does not say so: a default route covers them all. */
static __always_inline bool
unicast(__u32 address)
{
	__u8 first = bpf_ntohl(address) >> 24;

	return first != 0 && first != 127 && first < 224;
}

static __always_inline enum gw_counter
route_failure(long result)
{
	return result == BPF_FIB_LKUP_RET_NOT_FWDED ? GW_PUNT_HOST : GW_PUNT_NO_ROUTE;
}

enum { MOVED_SECONDS = 2 };

/* Only the bridge knows for certain where it is. A fixed entry that somebody else's frames speak
 * against is the bridge's as well, for as long as they come. */
static __always_inline bool
moved_lately(const struct gw_fdb_entry *entry, __u64 now)
{
	return entry->moved && seconds(now) - entry->moved < MOVED_SECONDS;
}

/* The row in gw_tx of the port that leads to the next hop, or the tunnel; or a verdict of those that
 * hand over. */
static __always_inline enum gw_counter
egress_port(const struct bpf_fib_lookup *fib, const struct gw_device *egress, __u64 now, __u16 *row,
	    __u16 *tunnel)
{
	struct gw_fdb_key key = {.bridge = fib->ifindex, .vlan = egress->vlan};
	struct gw_fdb_entry *station;
	__u16 vlan = egress->vlan;

	if (egress->flags & GW_DEV_BRIDGE) {
		__builtin_memcpy(key.mac, fib->dmac, sizeof(key.mac));
		station = bpf_map_lookup_elem(&gw_fdb, &key);
		if (!station || moved_lately(station, now))
			return GW_PUNT_FDB_MISS;
		/* The agent keeps what was used alive in the kernel; once a second is enough. */
		if (station->used != seconds(now))
			station->used = seconds(now);
		*tunnel = station->tunnel;
		if (station->tunnel)
			return GW_FORWARD;
		egress = device(station->port);
	}
	/* A port where frames of this VLAN have a tag: the bridge puts it on. */
	if (!egress || !(egress->flags & GW_DEV_PORT) || egress->vlan != vlan)
		return GW_PUNT_NOT_A_PORT;
	*row = egress->row;
	return GW_FORWARD;
}
#endif
