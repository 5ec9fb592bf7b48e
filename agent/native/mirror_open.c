// SPDX-License-Identifier: GPL-2.0-or-later
/* The mirror's sockets, tables and descriptors: see gw_mirror.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/rtnetlink.h>
#include "mirror.h"

enum {
	/* The kernel charges some 1 kB for an event: this has room for 30 000, and is taken from
	 * memory only while they wait. */
	EVENT_BUFFER = 32 << 20,
	ROUND_FIRST = 1, /* 0: no dump has seen it */
};

static struct mnl_socket *
open_events(struct gw_mirror *mirror)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned int groups = 1U << (RTNLGRP_NEIGH - 1) | 1U << (RTNLGRP_NEXTHOP - 1);
	struct epoll_event watch = {.events = EPOLLIN};
	int size = EVENT_BUFFER, fd;

	if (!socket)
		return NULL;
	fd = mnl_socket_get_fd(socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) ||
	    epoll_ctl(mirror->poll, EPOLL_CTL_ADD, fd, &watch)) {
		mnl_socket_close(socket);
		return NULL;
	}
	return socket;
}

static int
open_sockets(struct gw_mirror *mirror)
{
	mirror->poll = epoll_create1(EPOLL_CLOEXEC);
	if (mirror->poll < 0)
		return -errno;
	mirror->events = open_events(mirror);
	if (!mirror->events)
		return -errno;
	mirror->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!mirror->requests || mnl_socket_bind(mirror->requests, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	return 0;
}

#define TABLE(table, type, key_size, hash_size, max)                                               \
	table_init(&mirror->table, sizeof(struct type), key_size, hash_size, max)

static int
open_tables(struct gw_mirror *mirror)
{
	const __u32 entry = sizeof(struct entry_key), fdb = sizeof(struct gw_fdb_key);
	const __u32 behind = sizeof(struct behind_key);
	int result = 0;

	result |= TABLE(stations, station, fdb, offsetof(struct gw_fdb_key, vlan), GW_FDB_MAX);
	result |= TABLE(entries, entry, entry, entry, GW_FDB_MAX);
	result |= TABLE(members, member, sizeof(struct member_key), entry, GW_MIRROR_MEMBERS_MAX);
	result |= TABLE(remotes, remote, sizeof(struct remote_key), sizeof(struct remote_key),
			GW_MIRROR_MEMBERS_MAX);
	result |= TABLE(tunnels, tunnel, sizeof(struct tunnel_key), sizeof(struct tunnel_key),
			GW_TUNNELS_MAX);
	result |= TABLE(vteps, vtep, sizeof(struct gw_vtep_key), sizeof(struct gw_vtep_key),
			GW_VTEPS_MAX);
	result |= TABLE(nexthops, nexthop, sizeof(__u32), sizeof(__u32), GW_MIRROR_NEXTHOPS_MAX);
	result |= TABLE(groups, group, sizeof(struct group_key), sizeof(struct group_key),
			GW_MIRROR_NEXTHOPS_MAX);
	result |= TABLE(neighbours, neighbour, sizeof(struct neighbour_key),
			sizeof(struct neighbour_key), GW_MIRROR_NEIGHBOURS_MAX);
	result |= TABLE(behind, behind, behind, offsetof(struct behind_key, neighbour),
			GW_MIRROR_NEIGHBOURS_MAX);
	return result ? -EIO : 0;
}

struct gw_mirror *
gw_mirror_open(int fdb, int tunnels, int vteps, int floods, int *error)
{
	struct gw_mirror *mirror = calloc(1, sizeof(*mirror));

	*error = -ENOMEM;
	if (!mirror)
		return NULL;
	mirror->poll = -1;
	mirror->fdb_map = fcntl(fdb, F_DUPFD_CLOEXEC, 0);
	mirror->tunnel_map = fcntl(tunnels, F_DUPFD_CLOEXEC, 0);
	mirror->vtep_map = fcntl(vteps, F_DUPFD_CLOEXEC, 0);
	mirror->flood_map = fcntl(floods, F_DUPFD_CLOEXEC, 0);
	if (mirror->fdb_map < 0 || mirror->tunnel_map < 0 || mirror->vtep_map < 0 ||
	    mirror->flood_map < 0)
		*error = -errno;
	else
		*error = open_tables(mirror);
	if (!*error)
		*error = open_sockets(mirror);
	if (*error) {
		gw_mirror_close(mirror);
		return NULL;
	}
	mirror->dump.round = ROUND_FIRST;
	mirror->adopting = 1;
	tunnels_adopt(mirror);
	return mirror;
}

static void
close_map(int map)
{
	if (map >= 0)
		close(map);
}

void
gw_mirror_close(struct gw_mirror *mirror)
{
	struct table *tables[] = {&mirror->stations, &mirror->entries, &mirror->members,
				  &mirror->remotes,  &mirror->tunnels, &mirror->vteps,
				  &mirror->nexthops, &mirror->groups,  &mirror->neighbours,
				  &mirror->behind};

	groups_free(mirror);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		table_free(tables[i]);
	dump_stop(mirror);
	if (mirror->requests)
		mnl_socket_close(mirror->requests);
	if (mirror->events)
		mnl_socket_close(mirror->events);
	close_map(mirror->poll);
	close_map(mirror->flood_map);
	close_map(mirror->vtep_map);
	close_map(mirror->tunnel_map);
	close_map(mirror->fdb_map);
	free(mirror->watched);
	config_free(&mirror->config);
	free(mirror);
}

int
gw_mirror_fd(struct gw_mirror *mirror)
{
	return mirror->poll;
}
