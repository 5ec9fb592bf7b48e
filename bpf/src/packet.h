/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor over a frame, and the only bounds checks of what is not copied first. A frame that
 * gets past packet_parse() is IPv4 without options, to the gateway's MAC address, and TCP, UDP or
 * an ICMP query, with headers that agree with each other and with the frame. It may be the first
 * fragment of such a packet; later fragments and ICMP errors are told apart.
 */
#ifndef GW_PACKET_H
#define GW_PACKET_H
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include "checksum.h"
#include "counters.h"

/* <linux/icmp.h> pulls in the C library, which has no headers for this target. RFC 792. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u16 id; /* of an echo */
	__u16 mtu; /* of "fragmentation needed" (RFC 1191 4); an echo's sequence number */
};

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_FRAG_NEEDED = 4,
	ICMP_PKT_FILTERED = 13,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_EXC_TTL = 0,
	ICMP_PARAMETERPROB = 12,
	ETHERTYPE_QINQ = 0x88a8,
	IPV4_PLAIN = 0x45, /* version 4, no options */
	IP_DF_BIT = 0x4000,
	IP_MF_BIT = 0x2000,
	IP_OFFSET_BITS = 0x1fff,
	IP_FRAGMENT_BITS = 0x3fff, /* MF and the offset */
	IP_LENGTH_MAX = 65535,
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	/* parse_*() say "go on" with a value that is no verdict. */
	PARSED = GW_COUNTERS,
	PARSED_FRAGMENT, /* not the first: it has no ports */
	PARSED_ICMP_ERROR,
};

/* What later steps ask about the packet; no pointers, so it survives calls that move the frame. */
struct packet {
	struct gw_session_key key;
	__u32 ingress; /* ifindex of the L3 device */
	__u32 row;
	__u16 ip_length;
	__u16 id; /* as it is in the header */
	__u16 fragment; /* MF and offset, host order; 0: a whole packet */
	__u8 ttl;
	__u8 tos;
	__u8 tcp_flags;
	__u8 icmp_type;
	bool dont_fragment;
};

struct headers {
	struct ethhdr *eth;
	struct iphdr *ip;
	union {
		struct tcphdr *tcp;
		struct udphdr *udp;
		struct icmphdr *icmp;
	};
};

/* Points at the headers; false when the frame has become shorter than they are. */
static __always_inline bool
packet_headers(struct xdp_md *ctx, __u32 transport_length, struct headers *h)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + sizeof(*h->eth) + sizeof(*h->ip) + transport_length > end)
		return false;
	h->eth = data;
	h->ip = data + sizeof(*h->eth);
	h->tcp = data + sizeof(*h->eth) + sizeof(*h->ip);
	return true;
}

static __always_inline bool
same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u32 *)a == *(const __u32 *)b &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

static __always_inline enum gw_counter
parse_ethernet(const struct ethhdr *eth, const struct gw_device *port)
{
	/* The struct is packed: by its name this would be read in bytes. */
	__u16 type = *(const __u16 *)((const __u8 *)eth + 2 * ETH_ALEN);

	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETHERTYPE_QINQ))
		return GW_PUNT_VLAN;
	if (type != bpf_htons(ETH_P_IP))
		return GW_PUNT_NOT_IPV4;
	if (!same_mac(eth->h_dest, port->mac))
		return GW_PUNT_OTHER_MAC;
	return PARSED;
}

static __always_inline bool
ipv4_checksum_right(const struct iphdr *ip)
{
	const __u32 *words = (const void *)ip;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 5; i++)
		sum += words[i];
	/* 33 bits, then 18, then no more than 0x10001: of the multiples of 0xffff only one is left. */
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

static __always_inline enum gw_counter
parse_ipv4(const struct iphdr *ip, __u32 room, struct packet *pkt)
{
	__u8 first = *(const __u8 *)ip;

	pkt->ip_length = bpf_ntohs(ip->tot_len);
	if (first != IPV4_PLAIN && (first >> 4 != 4 || (first & 0xf) < 5))
		return GW_DROP_MALFORMED;
	if (pkt->ip_length < (first & 0xf) * 4)
		return GW_DROP_MALFORMED;
	if (pkt->ip_length > room)
		return GW_DROP_TRUNCATED;
	if (first != IPV4_PLAIN)
		return GW_PUNT_OPTIONS;
	if (!ipv4_checksum_right(ip))
		return GW_DROP_CHECKSUM;
	pkt->fragment = bpf_ntohs(ip->frag_off) & IP_FRAGMENT_BITS;
	pkt->id = ip->id;
	pkt->dont_fragment = ip->frag_off & bpf_htons(IP_DF_BIT);
	pkt->ttl = ip->ttl;
	pkt->tos = ip->tos;
	pkt->key.protocol = ip->protocol;
	pkt->key.tuple.saddr = ip->saddr;
	pkt->key.tuple.daddr = ip->daddr;
	return PARSED;
}

/* A fragment without ports, if it can be one at all. */
static __always_inline enum gw_counter
parse_fragment(const struct packet *pkt)
{
	__u32 offset = (pkt->fragment & IP_OFFSET_BITS) * 8;
	__u32 payload = pkt->ip_length - sizeof(struct iphdr);

	if (!payload || offset + payload > IP_LENGTH_MAX - sizeof(struct iphdr))
		return GW_DROP_MALFORMED;
	if (pkt->fragment & IP_MF_BIT && payload % 8)
		return GW_DROP_MALFORMED;
	/* It would overwrite the flags of a TCP header that has been judged (RFC 3128). */
	if (pkt->key.protocol == IPPROTO_TCP && offset == 8)
		return GW_DROP_MALFORMED;
	return PARSED_FRAGMENT;
}

static __always_inline enum gw_counter
parse_tcp(const struct tcphdr *tcp, void *end, struct packet *pkt)
{
	if (pkt->ip_length < sizeof(struct iphdr) + sizeof(*tcp))
		return GW_DROP_MALFORMED;
	if ((void *)(tcp + 1) > end)
		return GW_DROP_TRUNCATED;
	if (tcp->doff < 5 || pkt->ip_length < sizeof(struct iphdr) + tcp->doff * 4)
		return GW_DROP_MALFORMED;
	pkt->tcp_flags = ((const __u8 *)tcp)[13];
	pkt->key.tuple.sport = tcp->source;
	pkt->key.tuple.dport = tcp->dest;
	return PARSED;
}

static __always_inline enum gw_counter
parse_udp(const struct udphdr *udp, struct packet *pkt)
{
	__u16 length = bpf_ntohs(udp->len);

	/* The first fragment holds less than the datagram. */
	if (length < sizeof(*udp) ||
	    (!pkt->fragment && sizeof(struct iphdr) + length > pkt->ip_length))
		return GW_DROP_MALFORMED;
	pkt->key.tuple.sport = udp->source;
	pkt->key.tuple.dport = udp->dest;
	return PARSED;
}

/* A query's identifier stands where the sender of the request has its port (RFC 5508 3.1). */
static __always_inline enum gw_counter
parse_icmp(const struct icmphdr *icmp, struct packet *pkt)
{
	pkt->icmp_type = icmp->type;
	if (icmp->type == ICMP_DEST_UNREACH || icmp->type == ICMP_TIME_EXCEEDED ||
	    icmp->type == ICMP_PARAMETERPROB)
		return pkt->fragment ? GW_PUNT_FRAGMENT : PARSED_ICMP_ERROR;
	if (icmp->code || (icmp->type != ICMP_ECHO && icmp->type != ICMP_ECHOREPLY))
		return GW_PUNT_ICMP;
	if (icmp->type == ICMP_ECHO)
		pkt->key.tuple.sport = icmp->id;
	else
		pkt->key.tuple.dport = icmp->id;
	return PARSED;
}

/* Fills `pkt`, or says why the packet is not for NAT. */
static __always_inline enum gw_counter
packet_parse(struct xdp_md *ctx, const struct gw_device *port, struct packet *pkt)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	void *transport = ip + 1;
	enum gw_counter verdict;

	if ((void *)(eth + 1) > end)
		return GW_DROP_TRUNCATED;
	verdict = parse_ethernet(eth, port);
	if (verdict != PARSED)
		return verdict;
	if (transport > end)
		return GW_DROP_TRUNCATED;
	verdict = parse_ipv4(ip, end - (void *)ip, pkt);
	if (verdict != PARSED)
		return verdict;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP &&
	    ip->protocol != IPPROTO_ICMP)
		return GW_PUNT_PROTOCOL;
	if (pkt->fragment & IP_OFFSET_BITS)
		return parse_fragment(pkt);
	if (pkt->fragment && (pkt->ip_length - sizeof(*ip)) % 8)
		return GW_DROP_MALFORMED;
	if (pkt->ip_length < sizeof(*ip) + sizeof(struct udphdr))
		return GW_DROP_MALFORMED;
	if (transport + sizeof(struct udphdr) > end)
		return GW_DROP_TRUNCATED;
	if (ip->protocol == IPPROTO_UDP)
		return parse_udp(transport, pkt);
	if (ip->protocol == IPPROTO_ICMP)
		return parse_icmp(transport, pkt);
	return parse_tcp(transport, end, pkt);
}
#endif
