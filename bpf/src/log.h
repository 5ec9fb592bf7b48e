/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What RFC 6888 REQ-12 wants known: sessions and mappings as they open and close, for the agent to
 * write down. An event that the ring has no room for is counted and lost: no packet waits for a
 * log. The event is filled in where the ring has it, for there is no stack to spare.
 */
#ifndef GW_LOG_H
#define GW_LOG_H
#include "counters.h"
#include "ends.h"
#include "slots.h"

/* Room for one event, or 0. */
static __always_inline struct gw_log_event *
log_event(__u32 kind)
{
	struct gw_log_event *event = bpf_ringbuf_reserve(&gw_log, sizeof(*event), 0);

	if (!event) {
		count(ROW_SWEEP, GW_LOG_LOST);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_coarse_ns();
	event->kind = kind;
	return event;
}

__noinline int
log_session(const struct gw_session *session, __u32 kind)
{
	struct gw_log_event *event;
	bool inbound;

	if (!session)
		return 0;
	event = log_event(kind);
	if (!event)
		return 0;
	inbound = session->flags & GW_SESSION_INBOUND;
	event->inside = session_inside(session);
	event->outside = session_outside(session);
	event->remote = session_remote(session);
	event->flags = session->flags;
	event->traffic[0] = session->traffic[inbound ? GW_REVERSE_DIRECTION : GW_FORWARD_DIRECTION];
	event->traffic[1] = session->traffic[inbound ? GW_FORWARD_DIRECTION : GW_REVERSE_DIRECTION];
	bpf_ringbuf_submit(event, 0);
	return 1;
}

__noinline int
log_mapping(const struct gw_endpoint *inside, __u32 address, __u32 slot, __u32 kind)
{
	struct gw_log_event *event;

	if (!inside)
		return 0;
	event = log_event(kind);
	if (!event)
		return 0;
	event->inside = *inside;
	event->outside.address = address;
	event->outside.port = slot_port(slot);
	event->outside.protocol = inside->protocol;
	bpf_ringbuf_submit(event, 0);
	return 1;
}
#endif
