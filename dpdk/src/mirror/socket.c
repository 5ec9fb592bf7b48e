/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three sockets: for events, for dumps, and for what the kernel is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "../error.h"
#include "parts.h"

enum {
	/* The kernel doubles it, and charges about 1 kB for an event: this has room for some 60 000,
	 * and is taken from memory only while they wait. */
	EVENT_BUFFER = 32 << 20,
	DUMP_BUFFER = 1 << 20,
	STRICT = 12, /* NETLINK_GET_STRICT_CHK: only with it are filters of dumps applied */
	REQUESTS_MIN = 8192, /* bytes */
	REQUEST_MAX = 128, /* of the longest */
	SEND_MAX = 16384, /* bytes in one go */
};

/* Those to come, and those that are being sent, which the mirror's thread alone does. */
static struct requests {
	char *bytes;
	uint32_t used, room;
} coming, going;

static int
open_socket(int buffer)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_NETLINK, STRICT, &on, sizeof(on));
	// Nobody needs to have the request back with the answer.
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		on = -errno;
		close(fd);
		return on;
	}
	return fd;
}

static int
join_groups(int fd)
{
	static const int groups[] = {
		RTNLGRP_LINK,	      RTNLGRP_NEIGH,	    RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE,   RTNLGRP_IPV4_RULE,    RTNLGRP_IPV6_RULE,
		RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFINFO,  RTNLGRP_NEXTHOP,
	};

	for (uint32_t i = 0; i < RTE_DIM(groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(int)) &&
		    groups[i] != RTNLGRP_NEXTHOP)
			return -errno;
	return 0;
}

int
sockets_open(void)
{
	int result;

	mirror.events = open_socket(EVENT_BUFFER);
	mirror.dumps = open_socket(DUMP_BUFFER);
	mirror.requests = open_socket(DUMP_BUFFER);
	mirror.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mirror.events < 0 || mirror.dumps < 0 || mirror.requests < 0 || mirror.wake < 0)
		return gw_fail(errno, "no netlink socket for the mirror: %s", strerror(errno));
	result = join_groups(mirror.events);
	if (result)
		return gw_fail(-result, "no netlink events for the mirror: %s", strerror(-result));
	return 0;
}

static void
close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
empty(struct requests *some)
{
	free(some->bytes);
	*some = (struct requests){};
}

void
sockets_close(void)
{
	empty(&coming);
	empty(&going);
	close_one(&mirror.events);
	close_one(&mirror.dumps);
	close_one(&mirror.requests);
	close_one(&mirror.wake);
}

/* ---- requests: nobody waits for their success, what they change comes back as an event ------------- */

/* The kernel may let the sender wait, so that is done without gw_control. */

static bool
room(struct requests *some)
{
	uint32_t wanted = some->room ? some->room * 2 : REQUESTS_MIN;
	char *more;

	if (some->used + REQUEST_MAX <= some->room)
		return true;
	more = realloc(some->bytes, wanted);
	if (!more)
		return false;
	some->bytes = more;
	some->room = wanted;
	return true;
}

struct nlmsghdr *
request_begin(uint16_t type, uint16_t flags)
{
	static char lost[REQUEST_MAX]; // what there is no memory for
	struct nlmsghdr *message =
		mnl_nlmsg_put_header(room(&coming) ? coming.bytes + coming.used : lost);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	return message;
}

void
request_end(struct nlmsghdr *message)
{
	if ((char *)message == coming.bytes + coming.used)
		coming.used += MNL_ALIGN(message->nlmsg_len);
}

void
requests_collect(void)
{
	struct requests sent = going;

	if (!coming.used)
		return;
	going = coming;
	coming = sent;
	coming.used = 0;
}

// As many messages as go in one go.
static uint32_t
portion(const char *bytes, uint32_t left)
{
	uint32_t size = 0;

	while (size < left && size + REQUEST_MAX <= SEND_MAX)
		size += MNL_ALIGN(((const struct nlmsghdr *)(bytes + size))->nlmsg_len);
	return size;
}

void
requests_send(void)
{
	char answer[512];

	for (uint32_t sent = 0, size; sent < going.used; sent += size) {
		size = portion(going.bytes + sent, going.used - sent);
		send(mirror.requests, going.bytes + sent, size, 0);
		// Only what failed is answered: about neighbours that have gone meanwhile.
		while (recv(mirror.requests, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			;
	}
	going.used = 0;
}
