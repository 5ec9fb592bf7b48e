// SPDX-License-Identifier: GPL-2.0-or-later
/* The mirror of the kernel's FDBs: kept in agreement with what is read. See gw_mirror.h. */
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "mirror.h"

enum {
	KEY_WORDS = 4,
};

__u32
mirror_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

int
map_update(struct gw_mirror *mirror, int map, const void *key, const void *value)
{
	int result = gw_update(map, key, value);

	mirror->what.changes++;
	if (result == -E2BIG || result == -ENOSPC) {
		mirror->what.refused++;
	} else if (result) {
		mirror->what.failed++;
		mirror->what.error = -result;
	}
	return result;
}

int
map_delete(struct gw_mirror *mirror, int map, const void *key)
{
	int result = gw_delete(map, key);

	mirror->what.changes++;
	if (result && result != -ENOENT) {
		mirror->what.failed++;
		mirror->what.error = -result;
	}
	return result;
}

void
map_disown(struct gw_mirror *mirror, int map,
	   bool (*known)(const struct gw_mirror *mirror, const void *key))
{
	__u64 key[KEY_WORDS], next[KEY_WORDS];
	int more = !gw_next_key(map, NULL, key);

	while (more) {
		/* Before the key goes: after one that is not there the walk would begin anew. */
		more = !gw_next_key(map, key, next);
		if (!known(mirror, key))
			map_delete(mirror, map, key);
		memcpy(key, next, sizeof(key));
	}
}

bool
mirror_news(struct gw_mirror *mirror, struct stamp *stamp)
{
	struct dump *dump = &mirror->dump;

	if (!mirror->dumping) {
		stamp->window = dump->socket ? dump->window : 0;
	} else if (stamp->window && stamp->window == dump->window && stamp->round == dump->round) {
		return false;
	} else {
		stamp->window = 0;
	}
	stamp->round = dump->round;
	stamp->gone = 0;
	return true;
}

enum gone
mirror_gone(struct gw_mirror *mirror, struct stamp *stamp)
{
	if (!mirror->dump.socket)
		return GONE_NOW;
	if (!mirror_news(mirror, stamp))
		return GONE_NOT;
	stamp->gone = 1;
	return GONE_LATER;
}

bool
mirror_remembers(const struct gw_mirror *mirror)
{
	return mirror->dump.socket && !mirror->dumping;
}

/* ---- reading ------------------------------------------------------------------------------ */

void
mirror_trim(struct gw_mirror *mirror)
{
	bool smaller = table_trim(&mirror->stations);

	smaller |= table_trim(&mirror->entries);
	smaller |= table_trim(&mirror->members);
	smaller |= neighbours_trim(mirror);
	/* Others have the indices of these. */
	if (!mirror->remotes.used)
		smaller |= table_trim(&mirror->remotes);
	if (smaller)
		malloc_trim(0);
}

void
mirror_flush(struct gw_mirror *mirror)
{
	bool stale = false;

	if (mirror->nexthops_dirty)
		groups_resolve(mirror);
	for (__u32 i = 0; i < mirror->config.n_segments; i++) {
		if (mirror->config.segments[i].flood_dirty)
			flood_write(mirror, &mirror->config.segments[i]);
		stale = stale || mirror->config.segments[i].stale;
	}
	if (stale) {
		struct station *station;

		for (__u32 i = 0; (station = table_walk(&mirror->stations, &i));) {
			struct segment *segment = station_segment(mirror, station);

			if (segment && segment->stale)
				station_update(mirror, station);
		}
		for (__u32 i = 0; i < mirror->config.n_segments; i++)
			mirror->config.segments[i].stale = 0;
	}
	/* The last, for nothing leads there any more. */
	if (mirror->tunnels_idle && !mirror->adopting)
		tunnels_purge(mirror);
}

/* Reads one datagram of events; 0: there is none, -ENOBUFS: some were lost. */
static int
read_events(struct gw_mirror *mirror)
{
	struct sockaddr_nl from = {};
	socklen_t size = sizeof(from);
	int fd = mnl_socket_get_fd(mirror->events);
	ssize_t length = recvfrom(fd, mirror->buffer, sizeof(mirror->buffer), MSG_DONTWAIT,
				  (struct sockaddr *)&from, &size);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!from.nl_pid)
		mnl_cb_run(mirror->buffer, length, 0, 0, decode_message, mirror);
	return 1;
}

/*
 * The kernel says at once that it drops events, but what waits then is older, and it goes on
 * dropping until all of that was read. Only a dump that begins after it knows more than events do.
 */
static void
events_are_read(struct gw_mirror *mirror)
{
	if (!mirror->overrun)
		return;
	mirror->overrun = 0;
	if (mirror->dump.socket)
		mirror->dump.again = 1;
	else
		dump_start(mirror);
}

/* Events that wait, at most so many; returns how many. */
static __u32
follow_events(struct gw_mirror *mirror, __u32 budget)
{
	__u32 count = 0;

	while (count < budget) {
		int result = read_events(mirror);

		if (result == -ENOBUFS) {
			mirror->what.lost++;
			mirror->overrun = 1;
		} else if (result <= 0) {
			events_are_read(mirror);
			break;
		}
		count++;
	}
	return count;
}

int
gw_mirror_read(struct gw_mirror *mirror, __u32 budget, struct gw_mirror_events *what)
{
	__u32 count = follow_events(mirror, budget), step;

	do {
		if (mirror->dump.socket)
			count += dump_read(mirror);
		step = count < budget ? follow_events(mirror, budget - count) : 0;
		count += step;
	} while (count < budget && (step || mirror->dump.socket));
	mirror_flush(mirror);
	recall_forgotten(mirror);
	mirror->what.more = count >= budget;
	mirror->what.syncing = mirror->dump.socket != NULL;
	mirror->what.stations = mirror->stations.used;
	*what = mirror->what;
	return 0;
}

int
gw_mirror_resync(struct gw_mirror *mirror)
{
	return dump_start(mirror);
}
