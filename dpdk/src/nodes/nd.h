/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Neighbour solicitations, and advertisements in answer to them (RFC 4861 sections 4.3 and 4.4). */
#ifndef GW_ND_H
#define GW_ND_H

#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

enum gw_nd {
	GW_ND_NEXT = 58, /* ICMPv6 */
	GW_ND_HOPS = 255,
	GW_ND_SOLICITATION = 135,
	GW_ND_ADVERTISEMENT = 136,
	GW_ND_OPTION_SOURCE = 1,
	GW_ND_OPTION_TARGET = 2,
	GW_ND_ROUTER = 0x80,
	GW_ND_SOLICITED = 0x40,
	GW_ND_OVERRIDE = 0x20,
};

struct gw_nd_option {
	uint8_t type;
	uint8_t units; /* of eight bytes */
	struct rte_ether_addr mac;
};

struct gw_nd_message {
	uint8_t type, code;
	rte_be16_t checksum;
	uint8_t flags;
	uint8_t reserved[3];
	uint8_t target[16];
};

struct gw_nd_frame {
	struct rte_ether_hdr ether;
	struct rte_ipv6_hdr ip;
	struct gw_nd_message message;
	struct gw_nd_option option; /* the first, if there is one */
} __rte_packed __rte_aligned(2);

enum {
	GW_ND_SHORTEST = offsetof(struct gw_nd_frame, option),
	GW_ND_PAYLOAD = sizeof(struct gw_nd_frame) - offsetof(struct gw_nd_frame, message),
};

static inline bool
gw_nd_is_unspecified(const void *address)
{
	static const uint8_t unspecified[16];

	return !memcmp(address, unspecified, sizeof(unspecified));
}

/* The source link-layer address, or NULL; `*right`: all options have a length. */
static inline const struct rte_ether_addr *
gw_nd_source(const struct gw_nd_frame *frame, uint32_t payload, bool *right)
{
	const uint8_t *at = (const uint8_t *)&frame->option;
	const uint8_t *end = (const uint8_t *)&frame->message + payload;
	const struct rte_ether_addr *found = NULL;

	*right = true;
	while (at < end) {
		const struct gw_nd_option *option = (const struct gw_nd_option *)at;

		if (end - at < (int)sizeof(*option) || !option->units) {
			*right = false;
			break;
		}
		if (option->type == GW_ND_OPTION_SOURCE && option->units == 1)
			found = &option->mac;
		at += option->units * sizeof(*option);
	}
	*right &= at == end;
	return found;
}

/*
 * Of a frame in one segment: the target, and the MAC address to answer to. False: it is no
 * solicitation that anybody may answer (RFC 4861 section 7.1.1).
 */
static inline bool
gw_nd_read(const struct rte_mbuf *mbuf, uint8_t *target, struct rte_ether_addr *asker)
{
	const struct gw_nd_frame *frame = rte_pktmbuf_mtod(mbuf, const struct gw_nd_frame *);
	const uint32_t room = rte_pktmbuf_data_len(mbuf);
	const struct rte_ether_addr *source;
	uint32_t payload;
	bool right;

	if (room < GW_ND_SHORTEST || frame->ether.ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV6) ||
	    frame->ip.proto != GW_ND_NEXT || frame->ip.hop_limits != GW_ND_HOPS)
		return false;
	payload = rte_be_to_cpu_16(frame->ip.payload_len);
	if (payload < sizeof(frame->message) ||
	    payload > room - offsetof(struct gw_nd_frame, message) ||
	    frame->message.type != GW_ND_SOLICITATION || frame->message.code ||
	    frame->message.target[0] == 0xff ||
	    rte_ipv6_udptcp_cksum_verify(&frame->ip, &frame->message))
		return false;
	source = gw_nd_source(frame, payload, &right);
	// Who has no address yet has no business with naming one (RFC 4861 section 4.3).
	if (!right || (source && gw_nd_is_unspecified(&frame->ip.src_addr)))
		return false;
	*asker = source ? *source : frame->ether.src_addr;
	memcpy(target, frame->message.target, sizeof(frame->message.target));
	return rte_is_valid_assigned_ether_addr(asker);
}

/* Who asks for its own address before it uses it is answered before all nodes (RFC 4862 5.4.4). */
static inline void
gw_nd_to_all(struct gw_nd_frame *frame)
{
	static const uint8_t nodes[16] = {0xff, 0x02, [15] = 1};
	static const struct rte_ether_addr group = {{0x33, 0x33, 0, 0, 0, 1}};

	memcpy(&frame->ip.dst_addr, nodes, sizeof(nodes));
	frame->ether.dst_addr = group;
}

/* The solicitation becomes the target's advertisement. False: there is no room for it. */
static inline bool
gw_nd_answer(struct rte_mbuf *mbuf, const struct rte_ether_addr *asker,
	     const struct rte_ether_addr *mac, bool router)
{
	struct gw_nd_frame *frame = rte_pktmbuf_mtod(mbuf, struct gw_nd_frame *);
	const bool solicited = !gw_nd_is_unspecified(&frame->ip.src_addr);

	if (rte_pktmbuf_data_len(mbuf) + rte_pktmbuf_tailroom(mbuf) < sizeof(*frame))
		return false;
	mbuf->data_len = mbuf->pkt_len = sizeof(*frame);
	frame->ether.dst_addr = *asker;
	frame->ether.src_addr = *mac;
	memcpy(&frame->ip.dst_addr, &frame->ip.src_addr, sizeof(frame->ip.dst_addr));
	memcpy(&frame->ip.src_addr, frame->message.target, sizeof(frame->ip.src_addr));
	if (!solicited)
		gw_nd_to_all(frame);
	frame->ip.vtc_flow = RTE_BE32(6U << 28);
	frame->ip.payload_len = rte_cpu_to_be_16(GW_ND_PAYLOAD);
	frame->message.type = GW_ND_ADVERTISEMENT;
	frame->message.flags =
		GW_ND_OVERRIDE | (router ? GW_ND_ROUTER : 0) | (solicited ? GW_ND_SOLICITED : 0);
	memset(frame->message.reserved, 0, sizeof(frame->message.reserved));
	frame->option.type = GW_ND_OPTION_TARGET;
	frame->option.units = 1;
	frame->option.mac = *mac;
	frame->message.checksum = 0;
	frame->message.checksum = rte_ipv6_udptcp_cksum(&frame->ip, &frame->message);
	return true;
}

#endif
