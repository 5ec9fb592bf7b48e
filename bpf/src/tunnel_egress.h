/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What reaches a VXLAN device through the kernel, because it is flooded, comes from a station that
 * XDP does not know or is the host's own, and would not fit the underlay once it is encapsulated.
 * The device would drop it or tell its sender to send less; so it is encapsulated and cut here, by
 * the tables that XDP has. The device gets everything else.
 */
#ifndef GW_TUNNEL_EGRESS_H
#define GW_TUNNEL_EGRESS_H
#include "tunnel_send.h"

enum {
	/* IP bytes that every underlay takes that is served. */
	EGRESS_FITS = CUT_MTU_MIN,
	EGRESS_FORGET = 256, /* more than there are headers in front of a checksum */
	TCP_CHECK = 16,
	UDP_CHECK = 6,
	TUNNEL_KEY_ID = __builtin_offsetof(struct bpf_tunnel_key, remote_ipv6[1]),
};

/* IEEE 802.1Q, from the ethertype on. */
struct vlan_tag {
	__u16 protocol;
	__u16 tci;
};

/* The VLAN that the bridge has the frame in, 0: it does not filter; negative: XDP does not know. */
static __noinline int
egress_vlan(struct __sk_buff *skb, const struct gw_device *vxlan)
{
	struct gw_vni_key key = {};
	struct bpf_tunnel_key wanted;
	struct gw_vni *vni;

	/* The bridge tells a single VXLAN device the VNI (vlan_tunnel); any other has one VLAN. */
	if (bpf_skb_get_tunnel_key(skb, &wanted, TUNNEL_KEY_ID, 0))
		return vxlan->vlan;
	key.vni = wanted.tunnel_id;
	__builtin_memcpy(key.local.bytes, &vxlan->ifindex, sizeof(vxlan->ifindex));
	vni = bpf_map_lookup_elem(&gw_vnis, &key);
	return vni ? vni->vlan : -1;
}

/* To whom the bridge's frame goes; false: XDP's tables do not say. */
static __always_inline bool
egress_targets(struct egress *egress, const struct gw_device *vxlan, const __u8 *mac)
{
	int vlan = egress_vlan(egress->skb, vxlan);
	struct gw_fdb_key key = {.bridge = vxlan->l3_ifindex, .vlan = vlan};
	struct gw_flood_key flood = {.ifindex = vxlan->ifindex, .vlan = vlan};
	struct gw_fdb_entry *entry = 0;

	/* A tag that a bridge leaves on which knows what it means: of another VLAN than its own. */
	if (vlan < 0 || (vlan && egress->skb->vlan_present))
		return false;
	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	if (!(mac[0] & 1))
		entry = bpf_map_lookup_elem(&gw_fdb, &key);
	if (entry) {
		egress->tunnel = entry->tunnel;
		return entry->tunnel && entry->port == vxlan->ifindex;
	}
	egress->flood = bpf_map_lookup_elem(&gw_floods, &flood);
	return egress->flood && egress->flood->count <= GW_FLOOD_TUNNELS;
}

/* Copies the frame, with the tag in it that the kernel keeps apart; false: it has no whole header,
 * or is too long, or has two tags. */
static __always_inline bool
egress_load(struct egress *egress, __u8 *frame)
{
	struct __sk_buff *skb = egress->skb;
	struct vlan_tag tag = {.protocol = skb->vlan_proto, .tci = bpf_htons(skb->vlan_tci)};
	__u32 length = skb->len, from = 0;

	if (length < sizeof(struct ethhdr) || length + sizeof(tag) > EGRESS_FRAME_MAX)
		return false;
	if (skb->vlan_present) {
		if (skb->protocol == bpf_htons(ETH_P_8021Q) ||
		    skb->protocol == bpf_htons(ETHERTYPE_QINQ) ||
		    bpf_skb_load_bytes(skb, 0, frame, 2 * ETH_ALEN))
			return false;
		__builtin_memcpy(frame + 2 * ETH_ALEN, &tag, sizeof(tag));
		from = 2 * ETH_ALEN;
		length -= from;
		frame += from + sizeof(tag);
		egress->length += sizeof(tag);
	}
	length = at_least_one(length);
	return !bpf_skb_load_bytes(skb, from, frame, length);
}

/* The sum of an IP packet's addresses, and where its payload begins; 0: it is none, or not whole,
 * or has more headers than one. */
static __always_inline __u32
egress_addresses(void *packet, __u16 type, __u32 *sum, __u8 *protocol)
{
	const struct iphdr *ip = packet;
	const struct ip6hdr *ip6 = packet;

	if (type == bpf_htons(ETH_P_IP)) {
		if (*(__u8 *)packet != IPV4_PLAIN || ip->frag_off & bpf_htons(INNER_FRAGMENT))
			return 0;
		*sum = csum_word32(ip->saddr) + csum_word32(ip->daddr);
		*protocol = ip->protocol;
		return sizeof(*ip);
	}
	if (type != bpf_htons(ETH_P_IPV6))
		return 0;
	*sum = sum_words(ip6->source, 8);
	*protocol = ip6->next_header;
	return sizeof(*ip6);
}

/*
 * The host's own TCP and UDP have their checksums left to the device that sends them: where that of
 * a finished packet is, there is the sum of addresses, protocol and length alone. Finishes it in
 * the copy. Whatever else has that sum there is right as it is, and stays as it is.
 */
static __noinline int
egress_finish(struct egress_buffer *buffer, __u32 length)
{
	void *frame, *packet, *end;
	__u32 headers, sum = 0, all = 0;
	__u8 protocol = 0;
	__u16 type, *check;

	if (!buffer)
		return 0;
	frame = buffer->bytes + EGRESS_HEAD;
	end = buffer->bytes + sizeof(buffer->bytes);
	packet = frame + sizeof(struct ethhdr);
	type = ether_type(frame);
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETHERTYPE_QINQ)) {
		packet += sizeof(struct vlan_tag);
		type = *(__u16 *)(packet - sizeof(type));
	}
	headers = egress_addresses(packet, type, &sum, &protocol);
	if (!headers || !has_ports(protocol))
		return 0;
	packet += headers;
	length -= packet - frame;
	check = packet + (protocol == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK);
	sum += bpf_htons(protocol) + bpf_htons(length);
	if (*check != csum_fold(sum) || !frame_sum(packet, end, length, &all))
		return 0;
	*check = ~csum_fold(all);
	if (!*check)
		*check = 0xffff;
	return 1;
}

/* Sends the frame if it has to be cut for any VTEP, to every VTEP. */
static __noinline int
egress_run(struct __sk_buff *skb, struct gw_device *vxlan, struct egress_buffer *buffer)
{
	void *frame = buffer->bytes + EGRESS_HEAD, *end = buffer->bytes + sizeof(buffer->bytes);
	struct egress egress = {.skb = skb, .length = skb->len};
	struct gw_device *port = device(skb->ingress_ifindex);
	__u32 count_of;
	bool unfinished;

	if (!egress_load(&egress, frame) || !egress_targets(&egress, vxlan, frame) ||
	    !inner_read(frame, end, &egress.inner))
		return TC_ACT_UNSPEC;
	count_of = egress.flood ? egress.flood->count : 1;
	bpf_loop(count_of, egress_judge, &egress, 0);
	if (!egress.reached[REACH_CUT] || egress.reached[REACH_KERNEL])
		return TC_ACT_UNSPEC;
	unfinished = egress_finish(buffer, egress.length) || !skb->ingress_ifindex;
	if (!frame_sum(frame, end, egress.length, &egress.sum))
		return TC_ACT_UNSPEC;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	/* Or a driver would write a checksum into the pieces: the kernel forgets where one is to be
	 * once it lies before the frame. There are EGRESS_FITS bytes, and all are written anew. */
	if (unfinished)
		bpf_skb_adjust_room(skb, -EGRESS_FORGET, BPF_ADJ_ROOM_NET, 0);
	bpf_loop(count_of, egress_send, &egress, 0);
	/* The host's own came by no port. */
	if (port && port->row)
		egress.row = port->row;
	count_many(egress.row, GW_VXLAN_CUT, egress.sent);
	count_many(egress.row, GW_DROP_HANDOVER, egress.lost);
	return TC_ACT_STOLEN;
}

/* Does the frame come from where checksums are finished, off a wire? Any other bridge port may be
 * a veth. */
static __always_inline bool
egress_finished(const struct __sk_buff *skb)
{
	struct gw_device *port;

	if (skb->gso_size)
		return false;
	if (!skb->ingress_ifindex)
		return true;
	port = device(skb->ingress_ifindex);
	return port && port->flags & (GW_DEV_PORT | GW_DEV_WORKER);
}

/* The TC verdict for a frame that a VXLAN device is about to send. */
static __always_inline int
tunnel_egress(struct __sk_buff *skb)
{
	struct gw_device *vxlan;
	struct egress_buffer *buffer;
	int action;

	if (skb->len + VXLAN_UDP + sizeof(struct iphdr) <= EGRESS_FITS)
		return TC_ACT_UNSPEC;
	if (!egress_finished(skb))
		return TC_ACT_UNSPEC;
	vxlan = device(skb->ifindex);
	buffer = egress_buffer();
	if (!vxlan || !(vxlan->flags & GW_DEV_TUNNEL) || !buffer || buffer->busy)
		return TC_ACT_UNSPEC;
	buffer->busy = 1;
	action = egress_run(skb, vxlan, buffer);
	buffer->busy = 0;
	return action;
}
#endif
