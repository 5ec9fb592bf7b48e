// SPDX-License-Identifier: GPL-2.0-or-later
// The programs of the group vxlan: a generator of inner frames or of VXLAN, the bare redirect, and a
// sink that knows both. In front of every frame there is BENCH_HEADROOM.

#include "bench_forms.h"

#define LAST_ADDRESS_WORD 3 // of an IPv6 address

// ---- generator --------------------------------------------------------------------------

// Returns the sum of the words that vary.
static __always_inline __u32
inner_fill(void *inner, const struct bench_flows *flows, const struct bench_position *at)
{
	struct ethhdr *eth = inner;
	struct iphdr *ip = inner + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__be32 local = bpf_htonl(flows->inside_base + at->endpoint);
	__be32 remote = bpf_htonl(flows->destination_base + at->endpoint);
	__be32 source = constants.sends == BENCH_INNER ? local : remote;
	__be32 destination = constants.sends == BENCH_INNER ? remote : local;
	__be16 port = bpf_htons(flows->port_base + at->endpoint);
	__u32 addresses = halves(source) + halves(destination);

	STATION_ADDRESS(eth->h_source) = source;
	STATION_ADDRESS(eth->h_dest) = destination;
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = ~fold(flows->ip_sum + addresses);
	udp->source = port;
	udp->check = ~fold(flows->l4_sum + addresses + port);
	if (!udp->check)
		udp->check = 0xffff;

	return 2 * addresses + ip->check + port + udp->check;
}

static __always_inline void
outer_fill(void *data, const struct bench_flows *flows, const struct bench_position *at,
	   __u32 inner_sum)
{
	__be32 vtep = bpf_htonl(flows->vtep_base + at->destination);
	__be16 port = bpf_htons(BENCH_SOURCE_PORT + at->endpoint);

	if (constants.sends == BENCH_VXLAN4) {
		struct iphdr *ip = data + ETH_HLEN;
		struct udphdr *udp = (void *)(ip + 1);

		ip->saddr = vtep;
		ip->check = ~fold(flows->outer_ip_sum + halves(vtep));
		udp->source = port;
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;
		struct udphdr *udp = (void *)(ip + 1);

		ip->saddr.in6_u.u6_addr32[LAST_ADDRESS_WORD] = vtep;
		udp->source = port;
		udp->check = ~fold(flows->outer_udp_sum + inner_sum + halves(vtep) + port);
		if (!udp->check)
			udp->check = 0xffff;
	}
}

// `outer` is the size of the outer headers, a constant where this is inlined. What follows the
// inner headers is never written by anybody.
static __always_inline int
generate(struct xdp_md *ctx, const int outer)
{
	const int size = outer + BENCH_INNER_HEADERS;
	struct bench_core *core = this_core();
	struct bench_position *at = &core->position;
	void *data, *end;
	__u32 sum;

	// The system call itself waits for RCU, so that its duration is not that of the frames.
	if (!at->first_ns)
		at->first_ns = bpf_ktime_get_ns();
	if (bpf_xdp_adjust_head(ctx, BENCH_HEADROOM))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + size > end)
		return XDP_ABORTED;

	// A recycled page still holds the frame as it was changed on its way: write all of it.
	for (int i = 0; i < size / 8; i++)
		((__u64 *)data)[i] = core->flows.frame[i];
	for (int i = size / 8 * 4; i < size / 2; i++)
		((__u16 *)data)[i] = ((__u16 *)core->flows.frame)[i];
	sum = inner_fill(data + outer, &core->flows, at);
	if (outer)
		outer_fill(data, &core->flows, at, sum);
	advance(at, &core->flows);

	return bpf_redirect(core->flows.ifindex, 0);
}

SEC("xdp")
int
bench_generate(struct xdp_md *ctx)
{
	switch (constants.sends) {
	case BENCH_INNER:
		return generate(ctx, 0);
	case BENCH_VXLAN4:
		return generate(ctx, BENCH_VXLAN4_SIZE);
	default:
		return generate(ctx, BENCH_VXLAN6_SIZE);
	}
}

// ---- baseline ---------------------------------------------------------------------------

// A bridge changes nothing in a frame that it passes on; a VTEP reads and writes MAC addresses.
SEC("xdp")
int
bench_redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u16 *macs = data;

	if (!is_form(constants.sends, data, end))
		return XDP_PASS;
	if (constants.sends != BENCH_INNER && data + 2 * ETH_ALEN <= end)
		for (int i = 0; i < ETH_ALEN; i++)
			macs[i] = constants.macs[i];

	return bpf_redirect(constants.redirect_ifindex, 0);
}

// ---- sink -------------------------------------------------------------------------------

static __always_inline void
count_frame(struct bench_core *core)
{
	if (++core->received.frames == core->flows.frames)
		core->received.last_ns = bpf_ktime_get_ns();
}

// Counts the last piece of a frame as the frame; the first one is to be what it says.
static __always_inline bool
count_piece(struct bench_core *core, void *data, void *end)
{
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct piece *piece = (void *)(ip + 1);

	if ((void *)(piece + 1) > end || eth->h_proto != bpf_htons(ETH_P_IPV6) ||
	    ip->nexthdr != IPPROTO_FRAGMENT || piece->next != IPPROTO_UDP)
		return false;
	if (!(piece->offset & bpf_htons(OFFSET_MORE)))
		count_frame(core);
	else if (piece->offset == bpf_htons(OFFSET_MORE) && is_vxlan(&piece->vxlan))
		core->received.first_pieces++;
	else
		return false;

	return true;
}

SEC("xdp")
int
bench_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct bench_core *core = this_core();

	if (constants.expects == BENCH_VXLAN6_CUT) {
		if (count_piece(core, data, end))
			return XDP_DROP;
	} else if (is_form(constants.expects, data, end)) {
		if (constants.verify && !frame_right(data, end))
			core->received.bad_checksum++;
		count_frame(core);
		return XDP_DROP;
	}
	core->received.others++;

	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
