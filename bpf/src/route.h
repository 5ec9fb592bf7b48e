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

/* The row in gw_tx of the port that leads to the next hop; or a verdict of those that hand over. */
static __always_inline enum gw_counter
egress_port(const struct bpf_fib_lookup *fib, const struct gw_device *egress, __u64 now, __u32 *row)
{
	struct gw_fdb_key key = {.bridge = fib->ifindex};
	struct gw_fdb_entry *station;

	if (egress->flags & GW_DEV_BRIDGE) {
		__builtin_memcpy(key.mac, fib->dmac, sizeof(key.mac));
		station = bpf_map_lookup_elem(&gw_fdb, &key);
		if (!station)
			return GW_PUNT_FDB_MISS;
		/* The agent keeps what was used alive in the kernel; once a second is enough. */
		if (station->used != seconds(now))
			station->used = seconds(now);
		egress = device(station->port);
	}
	if (!egress || !(egress->flags & GW_DEV_PORT))
		return GW_PUNT_NOT_A_PORT;
	*row = egress->row;
	return GW_FORWARD;
}
#endif
