// SPDX-License-Identifier: GPL-2.0-or-later
// The programs of a measurement: generator, the bare redirect that everything is compared with, the
// sink, and for TCP the client that answers the sink.

#include <linux/tcp.h>

#include "bench_program.h"

#define UDP_CHECK_OFFSET   (ETH_HLEN + sizeof(struct iphdr) + 6)
#define TCP_CHECK_OFFSET   (ETH_HLEN + sizeof(struct iphdr) + 16)
#define SOURCE_PORT_OFFSET (ETH_HLEN + sizeof(struct iphdr))
#define UDP_SIZE	   (BENCH_FRAME_SIZE - ETH_HLEN - (int)sizeof(struct iphdr))
#define TCP_FRAME_SIZE	   (int)(ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define FIRST_SEQUENCE	   1

// In the byte of a TCP header that has them.
enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_ACK = 0x10,
};

SEC("xdp")
int
bench_generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct bench_core *core = this_core();
	const struct bench_flows *flows = &core->flows;
	struct bench_position *at = &core->position;
	__u32 source, destination, addresses;
	__u16 port, *l4_check;

	if (data + BENCH_FRAME_SIZE > end)
		return XDP_ABORTED;

	// The system call itself waits for RCU, so that its duration is not that of the frames.
	if (!at->first_ns)
		at->first_ns = bpf_ktime_get_ns();
	if (flows->gap_ns)
		pace(at, flows);
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

// Does the frame hold what the generator sends? The kernel takes the padding off what it forwards.
static __always_inline bool
frame_expected(void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	const int size = constants.protocol == IPPROTO_UDP ? BENCH_FRAME_SIZE : TCP_FRAME_SIZE;

	return data + size <= end && *(__be16 *)(data + 12) == bpf_htons(ETH_P_IP) &&
	       ip->protocol == constants.protocol;
}

static __always_inline bool
checksums_right(void *data)
{
	const int l4_size = constants.protocol == IPPROTO_UDP ? UDP_SIZE : sizeof(struct tcphdr);
	struct iphdr *ip = data + ETH_HLEN;
	__u32 sum;

	if (fold(sum_words((void *)ip, sizeof(*ip))) != 0xffff)
		return false;
	sum = halves(ip->saddr) + halves(ip->daddr) + bpf_htons(ip->protocol) + bpf_htons(l4_size);
	sum += sum_words((void *)(ip + 1), sizeof(struct tcphdr));
	if (constants.protocol == IPPROTO_UDP)
		sum += sum_words((void *)(ip + 1) + sizeof(struct tcphdr),
				 UDP_SIZE - sizeof(struct tcphdr));
	return fold(sum) == 0xffff;
}

// Sends the segment back as what its receiver says to it: with the next acknowledgement number, at
// the sequence number that the sender expects, and with these flags.
static __always_inline int
answer(struct xdp_md *ctx, void *data, __be16 flags)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	__be16 *flags_word = (__be16 *)&tcp->ack_seq + 2;
	__be32 sequence = tcp->ack ? tcp->ack_seq : bpf_htonl(FIRST_SEQUENCE);
	__be32 acknowledged = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	__u32 sum = (__u16)~tcp->check, address = ip->saddr;
	__u8 mac[ETH_ALEN];
	__be16 port = tcp->source;

	sum += halves(~tcp->seq) + halves(~tcp->ack_seq) + (__u16) ~*flags_word;
	sum += halves(sequence) + halves(acknowledged);
	tcp->seq = sequence;
	tcp->ack_seq = acknowledged;
	*flags_word = (*flags_word & bpf_htons(0xff00)) | flags;
	tcp->check = ~fold(sum + *flags_word);
	tcp->source = tcp->dest;
	tcp->dest = port;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);

	// Not XDP_TX: veth does not wake a peer by it that has no XDP program.
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

// Where the generator's frames leave: acknowledges what the sink answers.
SEC("xdp")
int
bench_client(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	return frame_expected(data, end) ? answer(ctx, data, bpf_htons(TCP_ACK)) : XDP_PASS;
}

SEC("xdp")
int
bench_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	struct bench_core *core = this_core();

	if (!frame_expected(data, end)) {
		core->received.others++;
		return XDP_PASS;
	}
	if ((ip->saddr & constants.inside_mask) == constants.inside_network)
		core->received.untranslated++;
	if (constants.verify && !checksums_right(data))
		core->received.bad_checksum++;
	if (constants.protocol == IPPROTO_TCP && core->flows.exchange != BENCH_ONE_WAY &&
	    (tcp->syn || tcp->fin))
		return answer(ctx, data,
			      bpf_htons(tcp->syn ? TCP_SYN | TCP_ACK : TCP_FIN | TCP_ACK));
	if (++core->received.frames == core->flows.frames)
		core->received.last_ns = bpf_ktime_get_ns();

	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
