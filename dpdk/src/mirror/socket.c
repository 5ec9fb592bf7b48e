/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three sockets: for events, for dumps, and for what the kernel is told. */
#include <errno.h>
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
	REQUESTS = 8192, /* bytes */
	REQUEST_MAX = 128, /* of the longest */
};

static char requests[REQUESTS];
static uint32_t requested;

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
	requested = 0;
	return 0;
}

static void
close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
sockets_close(void)
{
	close_one(&mirror.events);
	close_one(&mirror.dumps);
	close_one(&mirror.requests);
	close_one(&mirror.wake);
}

/* ---- requests: nobody waits for their success, what they change comes back as an event ------------- */

struct nlmsghdr *
request_begin(uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message;

	if (requested + REQUEST_MAX > sizeof(requests))
		requests_flush();
	message = mnl_nlmsg_put_header(requests + requested);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	return message;
}

void
request_end(struct nlmsghdr *message)
{
	requested += MNL_ALIGN(message->nlmsg_len);
}

void
requests_flush(void)
{
	char answer[512];

	if (requested)
		send(mirror.requests, requests, requested, 0);
	requested = 0;
	// Only what failed is answered: about neighbours that have gone meanwhile.
	while (recv(mirror.requests, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
}
