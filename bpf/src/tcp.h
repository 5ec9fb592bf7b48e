/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connection tracking, as far as timers need it (RFC 5382 REQ-2 and 5, RFC 7857 2). */
#ifndef GW_TCP_H
#define GW_TCP_H
#include "packet.h"

/*
 * The state after a segment. Reads and writes of one byte: two cores that race at worst lose one
 * transition, and the next segment makes it again.
 */
static __always_inline __u8
tcp_next_state(struct gw_session *session, __u8 flags, enum gw_direction direction, bool outbound)
{
	__u8 state = session->tcp_state;
	bool syn = flags & TCP_SYN;

	if (flags & TCP_RST)
		return GW_TCP_CLOSING;
	switch (state) {
	case GW_TCP_OPENING:
		/* The answer, or the other half of a simultaneous open. */
		return syn && direction == GW_REVERSE_DIRECTION ? GW_TCP_SYN_BOTH : state;
	case GW_TCP_SYN_BOTH:
		if (syn)
			return state;
		/* The first segment after the handshake may already be the last. */
		__attribute__((fallthrough));
	case GW_TCP_ESTABLISHED:
		if (flags & TCP_FIN)
			session->fins |= 1 << direction;
		return session->fins == 3 ? GW_TCP_CLOSING : GW_TCP_ESTABLISHED;
	case GW_TCP_CLOSING:
		/* The same endpoints connect anew. A remote cannot revive what an inside host opened. */
		if (syn && !(flags & TCP_ACK) && (outbound || direction == GW_FORWARD_DIRECTION)) {
			session->fins = 0;
			return GW_TCP_OPENING;
		}
		/* An inside host that goes on has not believed the RST, and it knows the sequence
		 * numbers (RFC 7857 2.2). */
		return outbound && session->fins != 3 ? GW_TCP_ESTABLISHED : state;
	}
	return state;
}

static __always_inline enum gw_timer_class
timer_class(const struct gw_session *session)
{
	if (session->protocol == IPPROTO_UDP)
		return GW_TIMER_UDP;
	if (session->protocol == IPPROTO_ICMP)
		return GW_TIMER_ICMP;
	return session->tcp_state == GW_TCP_ESTABLISHED ? GW_TIMER_TCP_ESTABLISHED :
							  GW_TIMER_TCP_TRANSITORY;
}
#endif
