// SPDX-License-Identifier: GPL-2.0-or-later
// The frame that the generator program copies, and the parts of its checksums that never change.

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>

#include "bench.h"

#define DESTINATION_PORT 443
#define L4_OFFSET	 (ETH_HLEN + sizeof(struct iphdr))
#define UDP_SIZE	 (BENCH_FRAME_SIZE - L4_OFFSET)

static __u32
sum_words(const void *data, size_t size)
{
	const __u16 *words = data;
	__u32 sum = 0;

	for (size_t i = 0; i < size / 2; i++)
		sum += words[i];

	return sum;
}

static void
udp_build(struct udphdr *udp)
{
	udp->dest = htons(DESTINATION_PORT);
	udp->len = htons(UDP_SIZE);
}

// The first segment of an exchange. Both sides begin at sequence number 1 and send no data.
static void
tcp_build(struct tcphdr *tcp, enum bench_exchange exchange)
{
	tcp->dest = htons(DESTINATION_PORT);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->window = htons(65535);
	if (exchange == BENCH_TEARDOWN) {
		tcp->seq = htonl(2);
		tcp->ack_seq = htonl(2);
		tcp->fin = tcp->ack = 1;
	} else {
		tcp->seq = htonl(1);
		tcp->syn = 1;
	}
}

void
frame_build(struct bench_flows *flows, const struct bench_options *options,
	    const __u8 source_mac[6])
{
	const __u16 l4_size = options->protocol == IPPROTO_UDP ? UDP_SIZE : sizeof(struct tcphdr);
	__u8 *frame = (__u8 *)flows->frame;
	struct ethhdr *eth = (struct ethhdr *)frame;
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + l4_size),
		.frag_off = htons(0x4000), // don't fragment
		.ttl = 64,
		.protocol = options->protocol,
	};

	memset(flows->frame, 0, sizeof(flows->frame));
	memcpy(eth->h_dest, options->gateway_mac, ETH_ALEN);
	memcpy(eth->h_source, source_mac, ETH_ALEN);
	eth->h_proto = htons(ETH_P_IP);
	memcpy(frame + ETH_HLEN, &ip, sizeof(ip));
	if (options->protocol == IPPROTO_UDP)
		udp_build((struct udphdr *)(frame + L4_OFFSET));
	else
		tcp_build((struct tcphdr *)(frame + L4_OFFSET), flows->exchange);

	flows->ip_sum = sum_words(&ip, sizeof(ip));
	flows->l4_sum =
		sum_words(frame + L4_OFFSET, l4_size) + htons(options->protocol) + htons(l4_size);
}
