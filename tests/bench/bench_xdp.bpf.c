// SPDX-License-Identifier: GPL-2.0-or-later
// The three programs of a measurement: generator, the bare redirect that everything is compared
// with, and the sink. All run on one core, so plain increments of global variables are exact.

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench_flows.h"

#define UDP_CHECK_OFFSET   (ETH_HLEN + sizeof(struct iphdr) + 6)
#define TCP_CHECK_OFFSET   (ETH_HLEN + sizeof(struct iphdr) + 16)
#define SOURCE_PORT_OFFSET (ETH_HLEN + sizeof(struct iphdr))
#define L4_WORDS	   ((BENCH_FRAME_SIZE - ETH_HLEN - (int)sizeof(struct iphdr)) / 2)

const volatile struct bench_constants constants = {};
struct bench_state state = {};

static __always_inline __u16
fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32
halves(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

// Counters that wrap instead of divisions: the generator's own cost is part of every figure.
static __always_inline void
advance(struct bench_position *at, const struct bench_flows *flows)
{
	at->endpoint++;
	if (++at->host_endpoint == flows->ports_per_host) {
		at->host_endpoint = 0;
		at->host++;
	}
	if (at->endpoint == flows->endpoints) {
		at->endpoint = 0;
		at->host = 0;
		at->host_endpoint = 0;
	}
	if (++at->destination_frame == flows->destination_step) {
		at->destination_frame = 0;
		if (++at->destination == flows->destinations)
			at->destination = 0;
	}
}

SEC("xdp")
int
bench_generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	const struct bench_flows *flows = &state.flows;
	struct bench_position *at = &state.position;
	__u32 source, destination, addresses;
	__u16 port, *l4_check;

	if (data + BENCH_FRAME_SIZE > end)
		return XDP_ABORTED;

	// The system call itself waits for RCU, so that its duration is not that of the frames.
	if (!at->first_ns)
		at->first_ns = bpf_ktime_get_ns();
	source = bpf_htonl(flows->inside_base + at->host);
	destination = bpf_htonl(flows->destination_base + at->destination);
	port = bpf_htons(flows->port_base + at->endpoint);
	addresses = halves(source) + halves(destination);

	// A recycled page still holds the frame as it was changed on its way: write all of it.
	for (int i = 0; i < BENCH_FRAME_SIZE / 8; i++)
		((__u64 *)data)[i] = flows->frame[i];
	((__u32 *)data)[BENCH_FRAME_SIZE / 4 - 1] = flows->frame[BENCH_FRAME_SIZE / 8];
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = ~fold(flows->ip_sum + addresses);
	*(__u16 *)(data + SOURCE_PORT_OFFSET) = port;
	l4_check = data + (constants.protocol == IPPROTO_UDP ? UDP_CHECK_OFFSET : TCP_CHECK_OFFSET);
	*l4_check = ~fold(flows->l4_sum + addresses + port);
	if (constants.protocol == IPPROTO_UDP && !*l4_check)
		*l4_check = 0xffff;
	advance(at, flows);

	return bpf_redirect(flows->ifindex, 0);
}

// The baseline: what any gateway has to do to a frame, and nothing else.
SEC("xdp")
int
bench_redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u16 *macs = data;

	if ((void *)(ip + 1) > end || *(__be16 *)(data + 12) != bpf_htons(ETH_P_IP) ||
	    ip->protocol != constants.protocol)
		return XDP_PASS;
	for (int i = 0; i < 6; i++)
		macs[i] = constants.macs[i];

	return bpf_redirect(constants.redirect_ifindex, 0);
}

static __always_inline bool
checksums_right(void *data)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u16 *words = (void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	if (fold(sum) != 0xffff)
		return false;

	sum = halves(ip->saddr) + halves(ip->daddr) + bpf_htons(ip->protocol) +
	      bpf_htons(L4_WORDS * 2);
	words += sizeof(*ip) / 2;
	for (int i = 0; i < L4_WORDS; i++)
		sum += words[i];
	// The UDP length is part of the sum twice and covers the whole frame, so no padding counts.
	return fold(sum) == 0xffff;
}

SEC("xdp")
int
bench_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	if (data + BENCH_FRAME_SIZE > end || *(__be16 *)(data + 12) != bpf_htons(ETH_P_IP) ||
	    ip->protocol != constants.protocol) {
		state.received.others++;
		return XDP_PASS;
	}
	if (++state.received.frames == state.flows.frames)
		state.received.last_ns = bpf_ktime_get_ns();
	if ((ip->saddr & constants.inside_mask) == constants.inside_network)
		state.received.untranslated++;
	if (constants.verify && !checksums_right(data))
		state.received.bad_checksum++;

	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
