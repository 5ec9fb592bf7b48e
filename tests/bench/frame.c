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
#define L4_SIZE		 (BENCH_FRAME_SIZE - L4_OFFSET)

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
l4_build(void *data, __u8 protocol)
{
	struct tcphdr *tcp = data;
	struct udphdr *udp = data;

	if (protocol == IPPROTO_UDP) {
		udp->dest = htons(DESTINATION_PORT);
		udp->len = htons(L4_SIZE);
		return;
	}
	tcp->dest = htons(DESTINATION_PORT);
	tcp->seq = htonl(1);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = 1;
	tcp->window = htons(65535);
}

void
frame_build(struct bench_flows *flows, const struct bench_options *options,
	    const __u8 source_mac[6])
{
	__u8 *frame = (__u8 *)flows->frame;
	struct ethhdr *eth = (struct ethhdr *)frame;
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(BENCH_FRAME_SIZE - ETH_HLEN),
		.frag_off = htons(0x4000), // don't fragment
		.ttl = 64,
		.protocol = options->protocol,
	};

	memset(flows->frame, 0, sizeof(flows->frame));
	memcpy(eth->h_dest, options->gateway_mac, ETH_ALEN);
	memcpy(eth->h_source, source_mac, ETH_ALEN);
	eth->h_proto = htons(ETH_P_IP);
	memcpy(frame + ETH_HLEN, &ip, sizeof(ip));
	l4_build(frame + L4_OFFSET, options->protocol);

	flows->ip_sum = sum_words(&ip, sizeof(ip));
	flows->l4_sum =
		sum_words(frame + L4_OFFSET, L4_SIZE) + htons(options->protocol) + htons(L4_SIZE);
}
