/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pieces.h"

#include <string.h>

#include <rte_memcpy.h>
#include <rte_udp.h>

#include "tunnel.h"

enum {
	NOT_ECT = 1 << 0, /* see gw_packet.ecn */
	CE = 1 << 3,
};

bool
gw_piece_fits(const struct gw_piece *piece, const struct rte_mbuf *mbuf)
{
	return piece->headers + piece->offset + piece->length <=
	       (uint32_t)(rte_pktmbuf_data_room_size(mbuf->pool) - RTE_PKTMBUF_HEADROOM);
}

bool
gw_piece_is_vxlan(const struct gw_piece *piece, const struct rte_mbuf *mbuf)
{
	const struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, piece->headers);

	if (piece->length < sizeof(*udp) || !udp->dst_port)
		return false;
	for (uint32_t i = 0; i < GW_VXLAN_PORTS; i++)
		if (udp->dst_port == gw_vxlan_ports[i])
			return true;
	return false;
}

// Before which part it belongs; -1: it is one of them, -2: it overlaps with one.
static int
place_of(const struct gw_packet *packet, const struct gw_piece *piece)
{
	const uint32_t end = piece->offset + piece->length;
	int at = packet->count;

	while (at > 0 && packet->parts[at - 1].offset >= piece->offset)
		at--;
	if (at < packet->count && packet->parts[at].offset == piece->offset &&
	    packet->parts[at].length == piece->length)
		return -1;
	if (at < packet->count && packet->parts[at].offset < end)
		return -2;
	if (at > 0 && packet->parts[at - 1].offset + packet->parts[at - 1].length > piece->offset)
		return -2;
	return at;
}

// What the last piece says about the others, and they about it.
static bool
ends_right(const struct gw_packet *packet, const struct gw_piece *piece)
{
	const uint32_t end = piece->offset + piece->length;
	const struct gw_part *last = &packet->parts[packet->count - 1];

	if (packet->total)
		return piece->more ? end < packet->total : end == packet->total;
	return piece->more || !packet->count || last->offset + last->length <= end;
}

enum gw_placing
gw_packet_place(struct gw_packet *packet, const struct gw_piece *piece, struct rte_mbuf *mbuf)
{
	const int at = ends_right(packet, piece) ? place_of(packet, piece) : -2;

	if (at == -1)
		return GW_PLACED_AGAIN;
	if (at < 0 || packet->count == GW_PIECES_EACH)
		return GW_PLACED_NOWHERE;
	memmove(&packet->parts[at + 1], &packet->parts[at],
		(packet->count - at) * sizeof(packet->parts[0]));
	packet->parts[at] = (struct gw_part){
		.mbuf = mbuf,
		.offset = piece->offset,
		.length = piece->length,
		.headers = piece->headers,
	};
	packet->count++;
	packet->have += piece->length;
	packet->ecn |= 1 << piece->ecn;
	if (!piece->more)
		packet->total = piece->offset + piece->length;
	return packet->have == packet->total ? GW_PLACED_ALL : GW_PLACED;
}

// Routers mark congestion on any piece, but all or none of them can be marked (RFC 3168 5.3).
static bool
ecn_makes_sense(uint8_t seen)
{
	return !(seen & NOT_ECT) || seen == NOT_ECT;
}

bool
gw_packet_congested(const struct gw_packet *packet)
{
	return packet->ecn & CE;
}

bool
gw_packet_join(struct gw_packet *packet)
{
	struct rte_mbuf *whole = packet->parts[0].mbuf;
	const uint32_t length = packet->parts[0].headers + packet->total;
	char *to = rte_pktmbuf_mtod(whole, char *) + packet->parts[0].headers;

	if (!ecn_makes_sense(packet->ecn) ||
	    rte_pktmbuf_data_len(whole) + rte_pktmbuf_tailroom(whole) < length)
		return false;
	for (uint32_t i = 1; i < packet->count; i++) {
		const struct gw_part *part = &packet->parts[i];

		rte_memcpy(to + part->offset,
			   rte_pktmbuf_mtod_offset(part->mbuf, const char *, part->headers),
			   part->length);
	}
	whole->data_len = whole->pkt_len = length;
	// Whatever the device said of the first piece, it has not seen the packet.
	whole->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
	return true;
}
