/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mirror's thread: events and dumps as they come, a moment of each, and what follows. */
#define _GNU_SOURCE // pthread_mutex_clocklock
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../error.h"
#include "../mirror.h"
#include "../port.h"
#include "../thread.h"
#include "../worker.h"
#include "parts.h"

enum {
	SLICE = 2, /* ms with gw_control held */
	WATCH = 1000, /* ms */
	FIRST_DUMP = 30000, /* ms until the start is given up */
	LOCK_PATIENCE = 50, /* ms until it is looked whether to stop */
};

struct mirror mirror = {.events = -1, .dumps = -1, .requests = -1, .wake = -1};

static pthread_t thread;
static bool started, stopping;
static uint64_t next_watch;

uint64_t
mirror_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* ---- one slice ------------------------------------------------------------------------------------------ */

void
mirror_flush(void)
{
	if (mirror.review)
		slots_review();
	segments_flush();
	install_flush();
	paths_free_idle();
	hops_free_idle();
}

static void
every_second(uint64_t now)
{
	if (now < next_watch)
		return;
	next_watch = now + WATCH;
	gw_ports_watch();
	// A port may have found out that its TAP has gone.
	mirror.review = true;
	believe_round(now / 1000);
	room_retry();
	family_retry(FAMILY4);
	family_retry(FAMILY6);
}

// Devices of the kernel below ports have changed.
static void
watch_wires(void)
{
	for (; mirror.wires; mirror.wires &= mirror.wires - 1) {
		uint32_t id = __builtin_ctz(mirror.wires);

		if (mirror.cut >> id & 1 && gw_ports[id].state == GW_PORT_RUNNING)
			gw_port_lose(&gw_ports[id]);
		if (gw_ports[id].state != GW_PORT_FREE)
			gw_port_watch(&gw_ports[id]);
	}
	mirror.cut = 0;
}

// A moment of work; false: there is no more.
static bool
slice(void)
{
	uint64_t now = mirror_now(), end = now + SLICE;
	bool events = true, piece;

	while (events && now < end) {
		for (int i = 0; events && i < 64; i++)
			events = events_read();
		now = mirror_now();
	}
	dump_start_if_due(now);
	piece = dump_read();
	every_second(now);
	mirror_flush();
	watch_wires();
	if (!events)
		believe_waiting();
	tickets_settle();
	return events || piece;
}

/* ---- the thread -------------------------------------------------------------------------------------------- */

static int
wait_time(void)
{
	uint64_t now = mirror_now();
	int watch = next_watch > now ? next_watch - now : 0;
	int dump = dump_start_if_due(now);

	return dump < 0 ? watch : RTE_MIN(dump, watch);
}

// With gw_control, which it gives back. How long to wait for more, ms; 0: there is more to do.
static int
turn(void)
{
	int milliseconds = slice() ? 0 : wait_time();

	requests_collect();
	pthread_mutex_unlock(&gw_control);
	requests_send();
	return dump_fetch() ? 0 : milliseconds;
}

static void
wait_for_news(int milliseconds)
{
	struct pollfd fds[] = {
		{.fd = mirror.events, .events = POLLIN},
		{.fd = mirror.dumps, .events = POLLIN},
		{.fd = mirror.wake, .events = POLLIN},
	};
	uint64_t count;

	poll(fds, RTE_DIM(fds), milliseconds);
	if (fds[2].revents && read(mirror.wake, &count, sizeof(count)) < 0)
		return;
}

static bool
is_stopping(void)
{
	return __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
}

// Whoever has it may be waiting for this thread to end.
static bool
lock(void)
{
	while (!is_stopping()) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOCK_PATIENCE * 1000000l;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (!pthread_mutex_clocklock(&gw_control, CLOCK_MONOTONIC, &until))
			return true;
	}
	return false;
}

static void *
run(void *argument)
{
	while (lock()) {
		int milliseconds = turn();

		if (milliseconds)
			wait_for_news(milliseconds);
		else
			mirror_let_others_in();
	}
	return argument;
}

/* ---- start and stop ------------------------------------------------------------------------------------------ */

static void
open_tables(void)
{
	table_open(&mirror.links, sizeof(struct link), sizeof(uint32_t), sizeof(uint32_t));
	table_open(&mirror.hops, sizeof(struct hop), sizeof(struct hop_key),
		   offsetof(struct hop_key, mtu));
	table_open(&mirror.paths, sizeof(struct path), sizeof(struct path_key),
		   sizeof(struct path_key));
	table_open(&mirror.objects, sizeof(struct object), sizeof(uint32_t), sizeof(uint32_t));
	table_open(&mirror.stations, sizeof(struct station), sizeof(struct station_key),
		   sizeof(struct station_key));
	segments_open();
	routes_open();
}

static void
close_all(void)
{
	struct path *path;

	for (uint32_t i = 0; (path = table_walk(&mirror.paths, &i));)
		free(path->members);
	objects_close();
	segments_close();
	table_close(&mirror.links);
	table_close(&mirror.hops);
	table_close(&mirror.paths);
	table_close(&mirror.stations);
	table_close(&mirror.routes[FAMILY4]);
	table_close(&mirror.routes[FAMILY6]);
	sockets_close();
}

// All that is there before the first port.
static int
first_dump(void)
{
	uint64_t end = mirror_now() + FIRST_DUMP;

	dump_want(WANT_ALL);
	while (dump_wanted() || dump_running()) {
		int milliseconds;

		pthread_mutex_lock(&gw_control);
		milliseconds = turn();
		if (mirror_now() > end)
			return gw_fail(ETIME, "the kernel's tables could not be read in %d s",
				       FIRST_DUMP / 1000);
		if (milliseconds)
			wait_for_news(milliseconds);
	}
	return 0;
}

int
gw_mirror_start(void)
{
	pthread_condattr_t clock;
	int result;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&mirror.settling, &clock);
	pthread_condattr_destroy(&clock);
	dump_reset();
	open_tables();
	stopping = false;
	next_watch = mirror_now() + WATCH;
	result = sockets_open();
	if (!result)
		result = first_dump();
	if (!result)
		result = gw_thread_start(&thread, "gw-mirror", run, NULL);
	if (result)
		close_all();
	started = !result;
	return result;
}

void
gw_mirror_stop(void)
{
	uint64_t one = 1;

	if (!started)
		return;
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	if (write(mirror.wake, &one, sizeof(one)) < 0)
		return;
	pthread_join(thread, NULL);
	believe_nothing();
	requests_collect();
	requests_send();
	close_all();
	started = false;
}

void
mirror_wake(void)
{
	uint64_t one = 1;

	// Full is awake already.
	if (write(mirror.wake, &one, sizeof(one)) < 0)
		return;
}

void
gw_mirror_port_added(uint16_t port)
{
	mirror.ports |= 1u << port;
	dump_want(WANT_ALL);
	slots_review();
	mirror_flush();
	mirror_wake();
}

void
gw_mirror_port_removed(uint16_t port)
{
	mirror.ports &= ~(1u << port);
	slots_review();
	mirror_flush();
	mirror_wake();
}
