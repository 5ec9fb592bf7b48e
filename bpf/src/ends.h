/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between whom a session is: its keys, its endpoints whichever side sent first. */
#ifndef GW_ENDS_H
#define GW_ENDS_H
#include <stdbool.h>
#include "maps.h"

static __always_inline struct gw_tuple
tuple_reversed(const struct gw_tuple *t)
{
	return (struct gw_tuple){t->daddr, t->saddr, t->dport, t->sport};
}

static __always_inline bool
tuple_equal(const struct gw_tuple *a, const struct gw_tuple *b)
{
	__u32 x[3], y[3];

	_Static_assert(sizeof(x) == sizeof(*a), "three words without padding");
	__builtin_memcpy(x, a, sizeof(x));
	__builtin_memcpy(y, b, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* Which side the first packet came from, and which side its answer comes from. */
static __always_inline __u8
session_side(const struct gw_session *session, enum gw_direction direction)
{
	bool inbound = session->flags & GW_SESSION_INBOUND;

	if (session->flags & GW_SESSION_HAIRPIN)
		return GW_SIDE_INSIDE;
	return inbound == (direction == GW_FORWARD_DIRECTION) ? GW_SIDE_OUTSIDE : GW_SIDE_INSIDE;
}

static __always_inline void
session_key(const struct gw_session *session, enum gw_direction direction,
	    struct gw_session_key *key)
{
	key->tuple = direction == GW_FORWARD_DIRECTION ? session->arrives :
							 tuple_reversed(&session->leaves);
	key->protocol = session->protocol;
	key->side = session_side(session, direction);
	key->pad[0] = key->pad[1] = 0;
}

static __always_inline struct gw_endpoint
source_of(const struct gw_tuple *tuple, __u8 protocol)
{
	return (struct gw_endpoint){tuple->saddr, tuple->sport, protocol, 0};
}

static __always_inline struct gw_endpoint
destination_of(const struct gw_tuple *tuple, __u8 protocol)
{
	return (struct gw_endpoint){tuple->daddr, tuple->dport, protocol, 0};
}

/* The endpoint that the session is on account of; of a hairpin session the caller. */
static __always_inline struct gw_endpoint
session_inside(const struct gw_session *session)
{
	return session->flags & GW_SESSION_INBOUND ?
		       destination_of(&session->leaves, session->protocol) :
		       source_of(&session->arrives, session->protocol);
}

/* And what it is outside. */
static __always_inline struct gw_endpoint
session_outside(const struct gw_session *session)
{
	return session->flags & GW_SESSION_INBOUND ?
		       destination_of(&session->arrives, session->protocol) :
		       source_of(&session->leaves, session->protocol);
}

/* Who is at the other end; of a hairpin session the outside endpoint of the callee. */
static __always_inline struct gw_endpoint
session_remote(const struct gw_session *session)
{
	return session->flags & GW_SESSION_INBOUND ?
		       source_of(&session->arrives, session->protocol) :
		       destination_of(&session->arrives, session->protocol);
}

/* Whom the first packet was sent to: of a hairpin session the outside endpoint of the callee. */
static __always_inline struct gw_endpoint
session_called(const struct gw_session *session)
{
	return destination_of(&session->arrives, session->protocol);
}
#endif
