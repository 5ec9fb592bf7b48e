// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring of log events: see gw_native.h. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "gw_abi.h"
#include "gw_native.h"

struct gw_ring {
	struct ring_buffer *buffer;
	struct gw_log_event *events; /* where the running gw_ring_read() puts them */
	__u32 room;
	__u32 count;
	__u32 strange;
};

/* A negative answer ends the reading after this event, which counts as read. */
static int
ring_event(void *context, void *data, size_t size)
{
	struct gw_ring *ring = context;

	if (size != sizeof(*ring->events)) {
		ring->strange++;
		return 0;
	}
	memcpy(&ring->events[ring->count++], data, size);
	return ring->count < ring->room ? 0 : -ENOBUFS;
}

struct gw_ring *
gw_ring_open(int map, int *error)
{
	struct gw_ring *ring = calloc(1, sizeof(*ring));

	if (!ring) {
		*error = -ENOMEM;
		return NULL;
	}
	ring->buffer = ring_buffer__new(map, ring_event, ring, NULL);
	if (!ring->buffer) {
		*error = -errno;
		free(ring);
		return NULL;
	}
	*error = 0;
	return ring;
}

int
gw_ring_fd(struct gw_ring *ring)
{
	return ring_buffer__epoll_fd(ring->buffer);
}

int
gw_ring_read(struct gw_ring *ring, struct gw_log_event *events, __u32 room, __u32 *strange)
{
	int result;

	if (!room)
		return -EINVAL;
	ring->events = events;
	ring->room = room;
	ring->count = ring->strange = 0;
	result = ring_buffer__consume(ring->buffer);
	*strange = ring->strange;
	if (result < 0 && result != -ENOBUFS)
		return result;
	return ring->count;
}

void
gw_ring_close(struct gw_ring *ring)
{
	ring_buffer__free(ring->buffer);
	free(ring);
}
