/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame out of VXLAN (RFC 7348 section 4). It is believed if its VNI is one of ours at that
 * address, if its checksum is right, and if its sender is a VTEP of that VNI; then the inner frame
 * goes where the FDB says. Everything that the kernel's VXLAN device has to see gets there as it
 * came: fragments, which it puts together, what is flooded, and what it has to learn from.
 */
#ifndef GW_DECAPSULATE_H
#define GW_DECAPSULATE_H
#include "bridge.h"

enum {
	NOT_VXLAN = PARSED,
	FOR_GATEWAY = PARSED + 8, /* decapsulated, and to the bridge's own address: NAT is next */
	ECN_NOT_ECT = 0,
	ECN_ECT1 = 1,
	ECN_CE = 3,
	IP_TOS_OFFSET = 1,
};

/* What arrived, in places that outlive the calls in between. */
struct arrival {
	struct gw_vni_key key;
	struct gw_vtep_key sender;
	__u32 size; /* of the outer headers, and where the inner frame begins */
	__u8 tos;
	bool has_vni;
};

static __always_inline bool
vxlan_port(const struct gw_settings *nat, __u16 port)
{
	return port == nat->vxlan_ports[0] || port == nat->vxlan_ports[1] ||
	       port == nat->vxlan_ports[2] || port == nat->vxlan_ports[3];
}

/* Is there any VXLAN at all at the address that this came to? */
static __always_inline bool
is_vtep_of_ours(struct gw_vni_key key)
{
	key.vni = GW_VNI_OTHER;
	return bpf_map_lookup_elem(&gw_vnis, &key);
}

static __always_inline bool
udp_checksum_right(void *udp, void *end, __u32 length, __u32 addresses)
{
	__u32 sum = 0;

	if (!frame_sum(udp, end, length, &sum))
		return false;
	sum += addresses + bpf_htons(length) + bpf_htons(IPPROTO_UDP);
	return csum_fold(sum) == 0xffff;
}

/* UDP and VXLAN; `room` is what IP has for them, which is not all that the frame has perhaps. */
static __always_inline enum gw_counter
parse_vxlan(const struct gw_settings *nat, struct udphdr *udp, void *end, __u32 room,
	    __u32 addresses, struct arrival *in)
{
	struct vxlanhdr *vxlan = (void *)(udp + 1);
	__u32 length;

	if (!vxlan_port(nat, udp->dest) || !udp->dest)
		return NOT_VXLAN;
	in->key.port = udp->dest;
	in->has_vni = vxlan->flags & bpf_htonl(VXLAN_I);
	in->key.vni = bpf_ntohl(vxlan->vni) >> 8;
	in->sender.vni = in->key.vni;
	length = bpf_ntohs(udp->len);
	if (length < VXLAN_UDP || length > room)
		return is_vtep_of_ours(in->key) ? GW_DROP_VXLAN : NOT_VXLAN;
	/* More than frame_sum() can do, as a jumbo frame may be in generic mode. */
	if (udp->check && length >= SUM_MAX)
		return is_vtep_of_ours(in->key) ? GW_PUNT_VXLAN : NOT_VXLAN;
	if (udp->check && !udp_checksum_right(udp, end, length, addresses))
		return is_vtep_of_ours(in->key) ? GW_DROP_CHECKSUM : NOT_VXLAN;
	/* The inner frame would be longer than it is. */
	if ((void *)udp + length != end)
		return is_vtep_of_ours(in->key) ? GW_PUNT_VXLAN : NOT_VXLAN;
	return PARSED;
}

static __always_inline enum gw_counter
parse_outer4(const struct gw_settings *nat, struct iphdr *ip, void *end, struct arrival *in)
{
	struct udphdr *udp = (void *)(ip + 1);
	__u32 length = bpf_ntohs(ip->tot_len), room = end - (void *)ip;

	/* Options and fragments are the kernel's, and the others' business is not judged here. */
	if (*(__u8 *)ip != IPV4_PLAIN || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(INNER_FRAGMENT))
		return NOT_VXLAN;
	if ((void *)udp + VXLAN_UDP > end || length > room || length < sizeof(*ip) + VXLAN_UDP ||
	    !ipv4_checksum_right(ip))
		return NOT_VXLAN;
	in->tos = ip->tos;
	in->size = OUTER4;
	in->key.family = 4;
	*(__u32 *)in->key.local.bytes = ip->daddr;
	*(__u32 *)in->sender.address.bytes = ip->saddr;
	return parse_vxlan(nat, udp, end, length - sizeof(*ip),
			   csum_word32(ip->saddr) + csum_word32(ip->daddr), in);
}

static __always_inline enum gw_counter
parse_outer6(const struct gw_settings *nat, struct ip6hdr *ip, void *end, struct arrival *in)
{
	struct udphdr *udp = (void *)(ip + 1);
	__u32 length = bpf_ntohs(ip->payload), room = end - (void *)udp;

	if ((void *)udp + VXLAN_UDP > end || *(__u8 *)ip >> 4 != 6 ||
	    ip->next_header != IPPROTO_UDP || length > room || length < VXLAN_UDP)
		return NOT_VXLAN;
	in->tos = ip6_class(ip);
	in->size = OUTER6;
	in->key.family = 6;
	__builtin_memcpy(in->key.local.bytes, ip->destination, sizeof(ip->destination));
	__builtin_memcpy(in->sender.address.bytes, ip->source, sizeof(ip->source));
	return parse_vxlan(nat, udp, end, length, sum_words(ip->source, 8), in);
}

static __always_inline enum gw_counter
parse_arrival(struct xdp_md *ctx, const struct gw_settings *nat, const struct gw_device *port,
	      struct arrival *in)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *ip = data + sizeof(struct ethhdr);
	__u16 type;

	if (ip + sizeof(struct iphdr) > end || !same_mac(data, port->mac))
		return NOT_VXLAN;
	type = ether_type(data);
	if (type == bpf_htons(ETH_P_IP))
		return parse_outer4(nat, ip, end, in);
	if (type == bpf_htons(ETH_P_IPV6) && ip + sizeof(struct ip6hdr) <= end)
		return parse_outer6(nat, ip, end, in);
	return NOT_VXLAN;
}

/* DSCP and ECN of the packet in a frame; -1: it is not IP. */
static __always_inline int
tos_of(void *frame, void *end)
{
	void *packet = frame + sizeof(struct ethhdr);
	__u16 type = ether_type(frame);

	if (type == bpf_htons(ETH_P_IP) && packet + sizeof(struct iphdr) <= end)
		return ((struct iphdr *)packet)->tos;
	if (type == bpf_htons(ETH_P_IPV6) && packet + sizeof(struct ip6hdr) <= end)
		return ip6_class(packet);
	return -1;
}

/* Congestion that the inner packet's ends would not hear of: it has to be dropped instead. */
static __always_inline bool
ecn_lost(void *frame, void *end, __u8 outer)
{
	int inner = tos_of(frame, end);

	return inner >= 0 && (inner & ECN_MASK) == ECN_NOT_ECT && (outer & ECN_MASK) == ECN_CE;
}

/* What outer and inner ECN come to, if not ecn_lost() (RFC 6040 figure 4). */
static __always_inline __u8
ecn_of(__u8 outer, __u8 inner)
{
	outer &= ECN_MASK;
	inner &= ECN_MASK;
	if (inner == ECN_NOT_ECT || inner == ECN_CE)
		return inner;
	return outer == ECN_CE || outer == ECN_ECT1 ? outer : inner;
}

/* Carries the congestion that the outer packet met into the inner one. */
static __always_inline void
ecn_carry(void *frame, void *end, __u8 outer)
{
	void *packet = frame + sizeof(struct ethhdr);
	int inner = tos_of(frame, end);
	__u16 *word = packet, before;
	struct iphdr *ip = packet;
	__u8 ecn = ecn_of(outer, inner);

	if (inner < 0 || ecn == (inner & ECN_MASK) || packet + sizeof(*ip) > end)
		return;
	if (ether_type(frame) != bpf_htons(ETH_P_IP)) {
		*(__u32 *)packet = (*(__u32 *)packet & ~bpf_htonl((__u32)ECN_MASK << 20)) |
				   bpf_htonl((__u32)ecn << 20);
		return;
	}
	before = *word;
	ip->tos = (ip->tos & ~ECN_MASK) | ecn;
	ip->check = csum_apply(ip->check, (__u16)~before + *word);
}

/* Where the inner frame goes; GW_BRIDGE and FOR_GATEWAY: via->row or the bridge in via->ifindex. */
static __always_inline enum gw_counter
inner_way(const struct gw_vni *vni, struct ethhdr *eth, void *end, __u32 tunnel,
	  struct passage *via)
{
	struct gw_device *bridge = device(vni->bridge);
	struct gw_fdb_entry *entry;
	__u16 type = ether_type(eth);
	bool known;

	if (!is_station(eth->h_source))
		return GW_DROP_INNER;
	/* STP, LLDP and the like concern one link (IEEE 802.1D 7.12.6). */
	if (*(__u32 *)eth->h_dest == bpf_htonl(0x0180c200) && !eth->h_dest[4] &&
	    eth->h_dest[5] <= 0x0f)
		return GW_DROP_INNER;
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETHERTYPE_QINQ))
		return GW_PUNT_VLAN;
	entry = station(vni->bridge, vni->vlan, eth->h_source);
	known = entry && tunnel && entry->tunnel == tunnel;
	if (known)
		mark_seen(entry, via->now);
	else if (vni->flags & GW_VNI_LEARNS)
		mark_moved(entry, via->now);
	if (is_group(eth->h_dest))
		return GW_PUNT_FLOOD;
	if (is_resolution(eth, end))
		return GW_PUNT_RESOLUTION;
	if (!known && vni->flags & GW_VNI_LEARNS)
		return GW_PUNT_LEARN;
	if (bridge && same_mac(eth->h_dest, bridge->mac)) {
		/* In another VLAN than the bridge device's own, its MAC address is somebody else's. */
		if (!(bridge->flags & GW_DEV_INSIDE) || bridge->vlan != vni->vlan ||
		    type != bpf_htons(ETH_P_IP))
			return GW_PUNT_HOST;
		via->ifindex = vni->bridge;
		return FOR_GATEWAY;
	}
	entry = station(vni->bridge, vni->vlan, eth->h_dest);
	if (!entry)
		return GW_PUNT_FLOOD;
	if (moved_lately(entry, via->now))
		return GW_PUNT_LEARN;
	if (entry->port == vni->ifindex)
		return GW_DROP_SPLIT_HORIZON;
	if (entry->tunnel)
		return GW_PUNT_BRIDGE_PORT;
	return to_port(entry, vni->bridge, vni->vlan, via);
}

/* The verdict about a sender; PARSED: it may, and `tunnel` is the way back if there is one. */
static __always_inline enum gw_counter
sender_of(const struct gw_vni *vni, struct arrival *in, __u32 *tunnel)
{
	struct gw_vtep *vtep;

	in->sender.ifindex = vni->ifindex;
	vtep = bpf_map_lookup_elem(&gw_vteps, &in->sender);
	if (vtep)
		*tunnel = vtep->tunnel;
	else if (!(vni->flags & GW_VNI_ANY_SOURCE))
		return GW_DROP_VTEP;
	return PARSED;
}

/* A host inside may claim any source address. There a VTEP is one that is answered by that port;
 * elsewhere the way back may be another one. */
static __noinline bool
sender_is_behind(struct xdp_md *ctx, const struct arrival *in, __u32 ifindex)
{
	struct bpf_fib_lookup fib = {.ifindex = LOOPBACK_IFINDEX, .l4_protocol = IPPROTO_UDP};
	long found;

	if (in->key.family == 6) {
		fib.family = UNDERLAY_INET6;
		__builtin_memcpy(fib.ipv6_src, in->key.local.bytes, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, in->sender.address.bytes, sizeof(fib.ipv6_dst));
	} else {
		fib.family = UNDERLAY_INET;
		__builtin_memcpy(&fib.ipv4_src, in->key.local.bytes, sizeof(fib.ipv4_src));
		__builtin_memcpy(&fib.ipv4_dst, in->sender.address.bytes, sizeof(fib.ipv4_dst));
	}
	found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return (found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH) &&
	       fib.ifindex == ifindex;
}

/*
 * From a port of the underlay. GW_BRIDGE: decapsulated, via->row is where it leaves. FOR_GATEWAY:
 * decapsulated, via->ifindex is the bridge, via->outer what was taken off and via->tunnel the way
 * back. Otherwise the frame is as it came.
 */
__noinline int
decapsulate(struct xdp_md *ctx, const struct gw_device *port, struct passage *via)
{
	struct arrival in = {};
	const struct gw_settings *nat = settings();
	enum gw_counter verdict;
	void *frame, *end;
	struct gw_vni *vni;
	__u32 tunnel = 0;

	if (!port || !via || !nat || !(nat->vxlan & GW_VXLAN_ON))
		return NOT_VXLAN;
	verdict = parse_arrival(ctx, nat, port, &in);
	if (verdict != PARSED)
		return verdict;
	if (!in.has_vni)
		return is_vtep_of_ours(in.key) ? GW_DROP_VXLAN : NOT_VXLAN;
	vni = bpf_map_lookup_elem(&gw_vnis, &in.key);
	if (!vni)
		return is_vtep_of_ours(in.key) ? GW_DROP_VNI : NOT_VXLAN;
	if (vni->flags & GW_VNI_KERNEL)
		return GW_PUNT_VXLAN;
	verdict = sender_of(vni, &in, &tunnel);
	if (verdict != PARSED)
		return verdict;
	if (port->flags & GW_DEV_INSIDE && !(vni->flags & GW_VNI_ANY_SOURCE) &&
	    !sender_is_behind(ctx, &in, port->ifindex))
		return GW_DROP_VTEP;
	frame = (void *)(long)ctx->data + (in.size == OUTER6 ? OUTER6 : OUTER4);
	end = (void *)(long)ctx->data_end;
	if (frame + sizeof(struct ethhdr) > end)
		return GW_DROP_VXLAN;
	via->now = bpf_ktime_get_coarse_ns();
	verdict = inner_way(vni, frame, end, tunnel, via);
	if (verdict != GW_BRIDGE && verdict != FOR_GATEWAY)
		return verdict;
	if (ecn_lost(frame, end, in.tos))
		return GW_DROP_ECN;
	/* NAT may leave it to the kernel, which gets it as it came. */
	if (verdict == GW_BRIDGE)
		ecn_carry(frame, end, in.tos);
	via->tos = in.tos;
	if (bpf_xdp_adjust_head(ctx, (int)in.size))
		return GW_DROP_TRUNCATED;
	via->outer = in.size;
	via->tunnel = tunnel;
	return verdict;
}
#endif
