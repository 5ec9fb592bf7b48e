// SPDX-License-Identifier: GPL-2.0-or-later
/* Sockets and devices of EVPN's view of the kernel: see gw_evpn.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include "evpn.h"

enum {
	/* The kernel charges some 1 kB for an event: this has room for 30 000, and is taken from
	 * memory only while they wait. */
	EVENT_BUFFER = 32 << 20,
	/* Answers to one batch of writes of which all fail. */
	ANSWER_BUFFER = 4 << 20,
	CAP_ACK = 10, /* NETLINK_CAP_ACK: an error does not quote the request */
};

static void
receive_buffer(const struct mnl_socket *socket, int size)
{
	int fd = mnl_socket_get_fd(socket);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* A full table of the Internet's routes comes by without a trace. */
static int
filter_routes(const struct mnl_socket *socket, __u8 protocol)
{
	enum { TYPE = offsetof(struct nlmsghdr, nlmsg_type) };
	enum { PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol) };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PROTOCOL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, ~0U),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			  sizeof(program));
}

static int
open_sockets(struct gw_evpn *evpn)
{
	unsigned int groups = 1U << (RTNLGRP_NEIGH - 1) | 1U << (RTNLGRP_LINK - 1) |
			      1U << (RTNLGRP_IPV4_IFADDR - 1) | 1U << (RTNLGRP_IPV6_IFADDR - 1) |
			      1U << (RTNLGRP_IPV4_ROUTE - 1) | 1U << (RTNLGRP_IPV6_ROUTE - 1);
	int on = 1;

	evpn->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	evpn->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!evpn->events || !evpn->requests)
		return -errno;
	receive_buffer(evpn->events, EVENT_BUFFER);
	receive_buffer(evpn->requests, ANSWER_BUFFER);
	if (filter_routes(evpn->events, evpn->protocol) ||
	    setsockopt(mnl_socket_get_fd(evpn->requests), SOL_NETLINK, CAP_ACK, &on, sizeof(on)) ||
	    mnl_socket_bind(evpn->events, groups, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_bind(evpn->requests, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	return 0;
}

static int
open_poll(struct gw_evpn *evpn)
{
	struct epoll_event watch = {.events = EPOLLIN};

	evpn->poll = epoll_create1(EPOLL_CLOEXEC);
	evpn->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (evpn->poll < 0 || evpn->timer < 0 ||
	    epoll_ctl(evpn->poll, EPOLL_CTL_ADD, evpn->timer, &watch) ||
	    epoll_ctl(evpn->poll, EPOLL_CTL_ADD, mnl_socket_get_fd(evpn->events), &watch))
		return -errno;
	return 0;
}

struct gw_evpn *
gw_evpn_open(__u8 protocol, int *error)
{
	const __u32 key = sizeof(struct gw_evpn_key);
	struct gw_evpn *evpn = calloc(1, sizeof(*evpn));

	*error = -ENOMEM;
	if (!evpn)
		return NULL;
	evpn->poll = evpn->timer = -1;
	evpn->protocol = protocol;
	*error = table_init(&evpn->facts, sizeof(struct fact), key, key, GW_EVPN_FACTS_MAX);
	if (!*error)
		*error = open_sockets(evpn);
	if (!*error)
		*error = open_poll(evpn);
	if (*error) {
		gw_evpn_close(evpn);
		return NULL;
	}
	return evpn;
}

void
gw_evpn_close(struct gw_evpn *evpn)
{
	if (evpn->timer >= 0)
		close(evpn->timer);
	if (evpn->poll >= 0)
		close(evpn->poll);
	if (evpn->requests)
		mnl_socket_close(evpn->requests);
	if (evpn->events)
		mnl_socket_close(evpn->events);
	table_free(&evpn->facts);
	free(evpn->bridges.ifindexes);
	free(evpn->tunnels.ifindexes);
	free(evpn->queue);
	free(evpn);
}

int
gw_evpn_fd(struct gw_evpn *evpn)
{
	return evpn->poll;
}

static int
compare(const void *one, const void *other)
{
	const __u32 *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

static int
copy_devices(struct evpn_devices *devices, const __u32 *ifindexes, __u32 count)
{
	devices->count = count;
	devices->ifindexes = calloc(count + 1, sizeof(*ifindexes));
	if (!devices->ifindexes)
		return -ENOMEM;
	memcpy(devices->ifindexes, ifindexes, count * sizeof(*ifindexes));
	qsort(devices->ifindexes, count, sizeof(*ifindexes), compare);
	return 0;
}

int
gw_evpn_follow(struct gw_evpn *evpn, const __u32 *bridges, __u32 n_bridges, const __u32 *tunnels,
	       __u32 n_tunnels)
{
	struct evpn_devices new_bridges = {}, new_tunnels = {};

	if (copy_devices(&new_bridges, bridges, n_bridges) ||
	    copy_devices(&new_tunnels, tunnels, n_tunnels)) {
		free(new_bridges.ifindexes);
		free(new_tunnels.ifindexes);
		return -ENOMEM;
	}
	free(evpn->bridges.ifindexes);
	free(evpn->tunnels.ifindexes);
	evpn->bridges = new_bridges;
	evpn->tunnels = new_tunnels;
	facts_disown(evpn);
	evpn->dump_due = 1;
	return 0;
}
