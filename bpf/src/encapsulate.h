/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A frame into VXLAN (RFC 7348 section 4). Until the way is known it stays as it is. */
#ifndef GW_ENCAPSULATE_H
#define GW_ENCAPSULATE_H
#include "frame_sum.h"
#include "identification.h"
#include "underlay.h"
#include "vxlan_header.h"

/* An identification that this pair of addresses had not lately; a packet that is never cut needs
 * none (RFC 6864 section 4.1). */
static __always_inline __u16
outer_identification(const struct gw_tunnel *tunnel, const struct outer *outer)
{
	if (outer->dont_fragment || tunnel->flags & GW_TUNNEL_IPV6)
		return 0;
	return next_identification(*(const __u32 *)tunnel->local.bytes,
				   *(const __u32 *)tunnel->remote.bytes, IPPROTO_UDP);
}

/* Into the room that was made for it at the frame's head. */
static __always_inline bool
write_outer(struct xdp_md *ctx, const struct gw_tunnel *tunnel, const struct outer *outer,
	    const struct way *way)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	bool ip6 = tunnel->flags & GW_TUNNEL_IPV6;

	if (data + OUTER4 > end)
		return false;
	__builtin_memcpy(data, way->macs, sizeof(way->macs));
	*(__u16 *)(data + 2 * ETH_ALEN) = bpf_htons(ip6 ? ETH_P_IPV6 : ETH_P_IP);
	if (!ip6)
		outer_write4(data + sizeof(struct ethhdr), tunnel, outer);
	else if (data + OUTER6 <= end)
		outer_write6(data + sizeof(struct ethhdr), tunnel, outer);
	else
		return false;
	return true;
}

/*
 * Sends the frame to tunnel number `reference` - 1. GW_BRIDGE: it is encapsulated and via->row is
 * where it leaves; GW_PUNT_TUNNEL_CUT: likewise, but it has to be cut, `via` says for which link.
 * GW_PUNT_UNDERLAY, GW_PUNT_TOO_BIG: it is as it was.
 */
__noinline int
encapsulate(struct xdp_md *ctx, __u32 reference, struct passage *via)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 length = end - data, index = reference - 1;
	struct gw_tunnel *tunnel = tunnel_at(index);
	const struct gw_settings *nat = settings();
	struct inner inner;
	struct outer outer;
	struct way *way;
	bool cut;

	if (!via || !nat || !tunnel)
		return GW_PUNT_UNDERLAY;
	if (!inner_read(data, end, &inner))
		return GW_DROP_TRUNCATED;
	if (length > tunnel->mtu + sizeof(struct ethhdr))
		return GW_PUNT_TOO_BIG;
	outer_of(tunnel, &inner, length, &outer);
	way = way_to(ctx, nat, tunnel, index, outer.source_port, via->now);
	if (!way)
		return GW_PUNT_UNDERLAY;
	cut = length + outer_size(tunnel) - sizeof(struct ethhdr) > way->mtu;
	if (cut && (outer.dont_fragment || !(tunnel->flags & GW_TUNNEL_FRAGMENT)))
		return GW_PUNT_TOO_BIG;
	if (tunnel->flags & GW_TUNNEL_CHECKSUM && !frame_sum(data, end, length, &outer.sum))
		return GW_PUNT_TOO_BIG;
	outer.id = outer_identification(tunnel, &outer);
	/* The driver has left too little in front of the frame: the kernel makes room. */
	if (bpf_xdp_adjust_head(ctx, -(int)outer_size(tunnel)))
		return GW_PUNT_UNDERLAY;
	if (!write_outer(ctx, tunnel, &outer, way))
		return GW_DROP_TRUNCATED;
	via->row = way->row;
	via->encapsulated = 1;
	if (!cut)
		return GW_BRIDGE;
	via->ifindex = way->ifindex;
	via->mtu = way->mtu;
	return GW_PUNT_TUNNEL_CUT;
}
#endif
