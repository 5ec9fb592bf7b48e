/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "heard.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exception.h"
#include "tap.h"
#include "tunnel.h"

enum { PLACES = GW_SEGMENTS };

/* The thread that writes has no lock but that of gw_exception_enter(). */
static struct place {
	char name[IFNAMSIZ];
	struct gw_heard is; /* `id` 0: the place is vacant */
	uint32_t
		last; /* id that it had: the next one is another, for frames may wait with the old */
	int fd;
} places[PLACES];

static struct place *
find(const char *name)
{
	for (uint32_t i = 0; i < PLACES; i++)
		if (places[i].is.id && !strcmp(places[i].name, name))
			return &places[i];
	return NULL;
}

static struct place *
vacant(void)
{
	for (uint32_t i = 0; i < PLACES; i++)
		if (!places[i].is.id)
			return &places[i];
	return NULL;
}

static void
forget(struct place *place)
{
	const int fd = place->fd;

	gw_exception_enter();
	place->last = place->is.id;
	place->is.id = 0;
	gw_exception_leave();
	close(fd);
}

struct gw_heard
gw_heard_open(const char *name)
{
	struct gw_heard heard = {};
	struct rte_ether_addr mac;
	struct place *place = find(name);
	uint32_t mtu;
	int fd;

	if (place && place->is.ifindex == if_nametoindex(name))
		return place->is;
	// A TAP can be opened once.
	if (place)
		forget(place);
	place = vacant();
	fd = place ? gw_tap_open(name, &heard.ifindex, &mac, &mtu) : -ENOSPC;
	if (fd < 0) {
		heard.error = -fd;
		return heard;
	}
	heard.id = (place->last ?: (uint32_t)(place - places)) + PLACES;
	gw_exception_enter();
	snprintf(place->name, sizeof(place->name), "%s", name);
	place->fd = fd;
	place->is = heard;
	gw_exception_leave();
	return heard;
}

void
gw_heard_keep(const uint32_t *ids, uint32_t count)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		bool wanted = !places[i].is.id;

		for (uint32_t j = 0; j < count && !wanted; j++)
			wanted = ids[j] == places[i].is.id;
		if (!wanted)
			forget(&places[i]);
	}
}

bool
gw_heard_write(uint32_t id, const struct rte_mbuf *mbuf)
{
	const struct place *place = &places[id % PLACES];

	return place->is.id == id && gw_tap_write(place->fd, mbuf);
}
