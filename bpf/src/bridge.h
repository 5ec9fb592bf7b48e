/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bridging between ports and tunnels, as the mirror of the kernel's FDB says. What it does not
 * say is the bridge's own to do: it learns, floods and answers. A station that sends is marked, so
 * that the agent keeps it in the kernel's FDB.
 */
#ifndef GW_BRIDGE_H
#define GW_BRIDGE_H
#include "encapsulate.h"
#include "route.h"

enum {
	ND_FIRST = 133, /* router solicitation (RFC 4861 section 4) */
	ND_LAST = 137, /* redirect */
	/* Parsers say so when the frame is none of theirs; packet.h has the same for PARSED. */
	NOT_BRIDGED = PARSED,
};

static __always_inline struct gw_fdb_entry *
station(__u32 bridge, __u16 vlan, const __u8 *mac)
{
	struct gw_fdb_key key = {.bridge = bridge, .vlan = vlan};

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	return bpf_map_lookup_elem(&gw_fdb, &key);
}

/* Once a second is enough; every write costs the other cores a cache miss. */
static __always_inline void
mark_seen(struct gw_fdb_entry *entry, __u64 now)
{
	if (entry->seen != seconds(now))
		entry->seen = seconds(now);
}

/* It sent from elsewhere: an answer may come before the agent has told where it is now. */
static __always_inline void
mark_moved(struct gw_fdb_entry *entry, __u64 now)
{
	if (entry && entry->moved != seconds(now))
		entry->moved = seconds(now);
}

static __always_inline bool
is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

/* May a frame come from there? As the kernel's bridge sees it. */
static __always_inline bool
is_station(const __u8 *mac)
{
	return !is_group(mac) && (*(const __u32 *)mac || *(const __u16 *)(mac + 4));
}

/* What the bridge may answer itself (neighbour suppression), and has to see. */
static __always_inline bool
is_resolution(void *frame, void *end)
{
	struct ip6hdr *ip = frame + sizeof(struct ethhdr);
	__u8 *type = (void *)(ip + 1);
	__u16 protocol = ether_type(frame);

	if (protocol == bpf_htons(ETH_P_ARP))
		return true;
	if (protocol != bpf_htons(ETH_P_IPV6) || (void *)(type + 1) > end)
		return false;
	return ip->next_header == IP6_NEXT_ICMP && *type >= ND_FIRST && *type <= ND_LAST;
}

/* To a local port: GW_BRIDGE with its row, or GW_PUNT_BRIDGE_PORT. Untagged: where frames of that
 * VLAN have to have a tag, it is the bridge that puts it on. */
static __always_inline enum gw_counter
to_port(const struct gw_fdb_entry *entry, __u32 bridge, __u16 vlan, struct passage *via)
{
	struct gw_device *egress = device(entry->port);

	if (!egress || !(egress->flags & GW_DEV_BRIDGED) || egress->l3_ifindex != bridge ||
	    egress->vlan != vlan)
		return GW_PUNT_BRIDGE_PORT;
	via->row = egress->row;
	return GW_BRIDGE;
}

/* From a port of a bridge. NOT_BRIDGED: to the bridge's own address, which NAT may take. */
__noinline int
bridge_from_port(struct xdp_md *ctx, const struct gw_device *port, struct passage *via)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	const struct gw_settings *nat = settings();
	struct gw_fdb_entry *entry;
	bool known;
	__u16 type;

	if (!port || !via || !nat || !(nat->vxlan & GW_VXLAN_ON))
		return NOT_BRIDGED;
	if (data + sizeof(*eth) > end)
		return GW_DROP_TRUNCATED;
	type = ether_type(data);
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETHERTYPE_QINQ))
		return GW_PUNT_VLAN;
	via->now = bpf_ktime_get_coarse_ns();
	entry = station(port->l3_ifindex, port->vlan, eth->h_source);
	known = entry && entry->port == port->ifindex;
	if (known)
		mark_seen(entry, via->now);
	else
		mark_moved(entry, via->now);
	if (is_group(eth->h_dest))
		return GW_PUNT_FLOOD;
	if (same_mac(eth->h_dest, port->mac))
		return NOT_BRIDGED;
	if (is_resolution(data, end))
		return GW_PUNT_RESOLUTION;
	if (!known)
		return GW_PUNT_LEARN;
	entry = station(port->l3_ifindex, port->vlan, eth->h_dest);
	if (!entry)
		return GW_PUNT_FLOOD;
	if (moved_lately(entry, via->now))
		return GW_PUNT_LEARN;
	if (entry->tunnel)
		return encapsulate(ctx, entry->tunnel, via);
	/* Back to where it came from: the bridge drops that, unless it is told not to. */
	if (entry->port == port->ifindex)
		return GW_PUNT_BRIDGE_PORT;
	return to_port(entry, port->l3_ifindex, port->vlan, via);
}
#endif
