// SPDX-License-Identifier: GPL-2.0-or-later
// The frame that the generator program copies, and the parts of its checksums that never change.

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <string.h>

#include "bench.h"

#define DESTINATION_PORT 443
#define L4_OFFSET	 (ETH_HLEN + sizeof(struct iphdr))
#define UDP_SIZE	 (BENCH_FRAME_SIZE - L4_OFFSET)
#define VXLAN_SIZE	 (sizeof(struct udphdr) + 8)
#define TTL		 64
#define LAST_WORD	 12 // of an IPv6 address

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
udp_build(struct udphdr *udp, __u16 size)
{
	udp->dest = htons(DESTINATION_PORT);
	udp->len = htons(size);
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

// Writes IPv4 and what it carries behind the Ethernet header, with nothing where something varies.
static void
packet_build(struct bench_flows *flows, __u8 *packet, __u16 l4_size, __u8 protocol)
{
	__u8 *l4 = packet + sizeof(struct iphdr);
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + l4_size),
		.frag_off = htons(0x4000), // don't fragment
		.ttl = TTL,
		.protocol = protocol,
	};

	memcpy(packet, &ip, sizeof(ip));
	if (protocol == IPPROTO_UDP)
		udp_build((struct udphdr *)l4, l4_size);
	else
		tcp_build((struct tcphdr *)l4, flows->exchange);
	flows->ip_sum = sum_words(&ip, sizeof(ip));
	// Data are zeros.
	flows->l4_sum = sum_words(l4, sizeof(struct tcphdr)) + htons(protocol) + htons(l4_size);
}

void
frame_build(struct bench_flows *flows, const struct bench_options *options,
	    const __u8 source_mac[6])
{
	const __u16 l4_size = options->protocol == IPPROTO_UDP ? UDP_SIZE : sizeof(struct tcphdr);
	__u8 *frame = (__u8 *)flows->frame;
	struct ethhdr *eth = (struct ethhdr *)frame;

	memset(flows->frame, 0, sizeof(flows->frame));
	memcpy(eth->h_dest, options->gateway_mac, ETH_ALEN);
	memcpy(eth->h_source, source_mac, ETH_ALEN);
	eth->h_proto = htons(ETH_P_IP);
	packet_build(flows, frame + ETH_HLEN, l4_size, options->protocol);
}

static void
inner_build(struct bench_flows *flows, __u8 *frame, __u16 size)
{
	struct ethhdr *eth = (struct ethhdr *)frame;
	const __be16 station = htons(BENCH_STATION);

	memcpy(eth->h_dest, &station, sizeof(station));
	memcpy(eth->h_source, &station, sizeof(station));
	eth->h_proto = htons(ETH_P_IP);
	packet_build(flows, frame + ETH_HLEN, size - L4_OFFSET, IPPROTO_UDP);
}

// UDP and VXLAN (RFC 7348 5); `size` is that of the inner frame.
static __u8 *
vxlan_build(__u8 *at, const struct bench_options *options)
{
	struct udphdr *udp = (struct udphdr *)at;
	const __be32 flags = htonl(0x08000000); // there is a VNI
	__u8 *vxlan = at + sizeof(*udp);

	udp->dest = htons(BENCH_VXLAN_PORT);
	udp->len = htons(VXLAN_SIZE + options->size);
	memcpy(vxlan, &flags, sizeof(flags));
	memcpy(vxlan + sizeof(flags), &options->vni, sizeof(options->vni));

	return at + VXLAN_SIZE;
}

static void
outer4_build(struct bench_flows *flows, const struct bench_options *options, __u8 *at)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + VXLAN_SIZE + options->size),
		.ttl = TTL,
		.protocol = IPPROTO_UDP,
	};
	__be32 source;

	memcpy(&ip.daddr, options->vtep_destination, sizeof(ip.daddr));
	memcpy(&source, options->vtep_source, sizeof(source));
	flows->vtep_base = ntohl(source);
	flows->outer_ip_sum = sum_words(&ip, sizeof(ip));
	memcpy(at, &ip, sizeof(ip));
	inner_build(flows, vxlan_build(at + sizeof(ip), options), options->size);
}

static void
outer6_build(struct bench_flows *flows, const struct bench_options *options, __u8 *at)
{
	const __be16 length = htons(VXLAN_SIZE + options->size);
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6U << 28), // version 6
		.ip6_plen = length,
		.ip6_nxt = IPPROTO_UDP,
		.ip6_hlim = TTL,
	};
	__u8 *udp = at + sizeof(ip);
	__be32 last;

	memcpy(&ip.ip6_src, options->vtep_source, LAST_WORD);
	memcpy(&ip.ip6_dst, options->vtep_destination, sizeof(ip.ip6_dst));
	memcpy(&last, options->vtep_source + LAST_WORD, sizeof(last));
	flows->vtep_base = ntohl(last);
	memcpy(at, &ip, sizeof(ip));
	inner_build(flows, vxlan_build(udp, options), options->size);
	flows->outer_udp_sum = sum_words(&ip.ip6_src, 2 * sizeof(ip.ip6_src)) + htons(IPPROTO_UDP) +
			       length + sum_words(udp, VXLAN_SIZE + BENCH_INNER_HEADERS);
}

void
tunnel_frame_build(struct bench_flows *flows, const struct bench_options *options,
		   const __u8 source_mac[6])
{
	__u8 *frame = (__u8 *)flows->frame;
	struct ethhdr *eth = (struct ethhdr *)frame;

	memset(flows->frame, 0, sizeof(flows->frame));
	if (options->sends == BENCH_INNER) {
		inner_build(flows, frame, options->size);
		return;
	}
	memcpy(eth->h_dest, options->gateway_mac, ETH_ALEN);
	memcpy(eth->h_source, source_mac, ETH_ALEN);
	eth->h_proto = htons(options->sends == BENCH_VXLAN4 ? ETH_P_IP : ETH_P_IPV6);
	if (options->sends == BENCH_VXLAN4)
		outer4_build(flows, options, frame + ETH_HLEN);
	else
		outer6_build(flows, options, frame + ETH_HLEN);
}
