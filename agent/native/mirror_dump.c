// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Dumps: next hops, then each bridge with the FDBs of its ports, then neighbours; what none of them
 * told of goes. One is read piece by piece, and events in between: 100 000 entries take the kernel
 * half a second, and nobody shall wait for that.
 *
 * The kernel goes through an FDB by counting. An entry that is deleted before the place where it is
 * hides another one, so a dump that met deletions has a second look before it sweeps; if that met
 * some as well, it is repeated half a minute later.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include "mirror.h"

enum {
	NEIGHBOURS_TWICE = 2,
	REPEAT_SECONDS = 30,
	ROOM = GW_FDB_MAX / 16, /* free stations that are worth a dump, if some were refused */
	STRICT = 12, /* NETLINK_GET_STRICT_CHK: only with it are filters of dumps applied */
};

static struct mnl_socket *
open_dump(const struct gw_mirror *mirror)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event watch = {.events = EPOLLIN};
	int on = 1;

	if (!socket)
		return NULL;
	setsockopt(mnl_socket_get_fd(socket), SOL_NETLINK, STRICT, &on, sizeof(on));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) ||
	    epoll_ctl(mirror->poll, EPOLL_CTL_ADD, mnl_socket_get_fd(socket), &watch)) {
		mnl_socket_close(socket);
		return NULL;
	}
	return socket;
}

/* What was sent so far is the first piece: see struct stamp. */
static void
next_window(struct dump *dump)
{
	if (!++dump->window)
		dump->window = 1;
}

static int
ask(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;
	struct nlmsghdr *message = mnl_nlmsg_put_header(mirror->buffer);
	__u32 bridge = dump->step - DUMP_BRIDGES;

	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++dump->sequence;
	if (dump->step == DUMP_NEXTHOPS) {
		message->nlmsg_type = RTM_GETNEXTHOP;
		mnl_nlmsg_put_extra_header(message, sizeof(struct nhmsg));
		mnl_attr_put(message, NHA_FDB, 0, NULL);
	} else {
		struct ndmsg *nd;

		message->nlmsg_type = RTM_GETNEIGH;
		nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));
		if (bridge < mirror->config.n_bridges) {
			nd->ndm_family = AF_BRIDGE;
			mnl_attr_put_u32(message, NDA_MASTER, mirror->config.bridges[bridge]);
		} else {
			nd->ndm_family = bridge == mirror->config.n_bridges ? AF_INET : AF_INET6;
		}
	}
	next_window(dump);
	if (mnl_socket_sendto(dump->socket, message, message->nlmsg_len) < 0)
		return -errno;
	return 0;
}

/* Asks for all of it. */
static int
look(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;
	int result;

	dump->socket = open_dump(mirror);
	if (!dump->socket)
		return -errno;
	dump->step = DUMP_NEXTHOPS;
	dump->deleted = dump->refused = 0;
	mirror->what.refused = 0;
	mirror->what.dumps++;
	result = ask(mirror);
	if (result)
		dump_stop(mirror);
	return result;
}

int
dump_start(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;
	int result;

	dump_stop(mirror);
	if (!++dump->round)
		dump->round = 1;
	dump->window = 0;
	dump->second = dump->failed = dump->again = dump->incomplete = 0;
	result = look(mirror);
	if (result) {
		/* No memory or no descriptor for it: another try when the next one is due. */
		dump->incomplete = 1;
		dump->ended = mirror_now();
	}
	return result;
}

void
dump_stop(struct gw_mirror *mirror)
{
	if (mirror->dump.socket)
		mnl_socket_close(mirror->dump.socket);
	mirror->dump.socket = NULL;
}

bool
dump_due(const struct gw_mirror *mirror, __u32 now)
{
	const struct dump *dump = &mirror->dump;

	if (dump->socket || now - dump->ended < REPEAT_SECONDS)
		return false;
	return dump->incomplete ||
	       (dump->refused && mirror->stations.used + ROOM <= mirror->stations.max);
}

/* ---- the end ------------------------------------------------------------------------------ */

#define SWEEP(table, type, drop)                                                                   \
	do {                                                                                       \
		struct type *item;                                                                 \
                                                                                                   \
		for (__u32 i = 0; (item = table_walk(&mirror->table, &i));)                        \
			if (item->stamp.gone || item->stamp.round != mirror->dump.round)           \
				drop(mirror, item);                                                \
	} while (0)

static void
sweep(struct gw_mirror *mirror)
{
	SWEEP(nexthops, nexthop, nexthop_drop);
	SWEEP(entries, entry, entry_drop);
	SWEEP(members, member, member_drop);
	SWEEP(stations, station, station_drop);
	SWEEP(neighbours, neighbour, neighbour_drop);
	mirror_trim(mirror);
}

static void
finish(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;

	dump_stop(mirror);
	dump->ended = mirror_now();
	/* What neither look has seen is not there, most likely. */
	if (dump->deleted && !dump->second && !dump->failed && !dump->again) {
		dump->second = 1;
		if (!look(mirror))
			return;
		dump->failed = 1;
	}
	dump->incomplete |= dump->failed || dump->deleted;
	if (!dump->failed)
		sweep(mirror);
	if (!dump->failed && mirror->adopting) {
		mirror_flush(mirror);
		stations_disown(mirror);
		vteps_disown(mirror);
		floods_disown(mirror);
		mirror->adopting = 0;
	}
	if (dump->again)
		dump_start(mirror);
}

/* Goes on to what is dumped next. */
static void
next_step(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;
	__u32 steps = DUMP_BRIDGES +
		      (mirror->config.n_bridges ? mirror->config.n_bridges + NEIGHBOURS_TWICE : 0);

	if (++dump->step < steps) {
		if (!ask(mirror))
			return;
		dump->failed = 1;
	}
	finish(mirror);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* A device that has gone has nothing, and a kernel without next hops has none. */
static bool
is_no_answer(int error)
{
	return error == ENODEV || error == EOPNOTSUPP;
}

/* Both begin with an int: 0, or -errno. */
static int
end_of_dump(const struct nlmsghdr *message)
{
	if (mnl_nlmsg_get_payload_len(message) < sizeof(int))
		return 0;
	return *(int *)mnl_nlmsg_get_payload(message);
}

/* Whether that was the end. mnl_cb_run() would stop at the first mark of an interruption. */
static bool
decode_piece(struct gw_mirror *mirror, int length)
{
	const struct nlmsghdr *message = (struct nlmsghdr *)mirror->buffer;
	struct dump *dump = &mirror->dump;

	for (; mnl_nlmsg_ok(message, length); message = mnl_nlmsg_next(message, &length)) {
		if (message->nlmsg_seq != dump->sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			dump->incomplete = 1;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
			int error = -end_of_dump(message);

			dump->failed |= error && !is_no_answer(error);
			return true;
		}
		decode_message(message, mirror);
	}
	return false;
}

int
dump_read(struct gw_mirror *mirror)
{
	struct dump *dump = &mirror->dump;
	__u64 before = mirror->what.messages;
	ssize_t length = recv(mnl_socket_get_fd(dump->socket), mirror->buffer,
			      sizeof(mirror->buffer), MSG_DONTWAIT);
	bool end;

	if (length < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		dump->failed = 1;
		finish(mirror);
		return 1;
	}
	mirror->dumping = 1;
	end = decode_piece(mirror, length);
	mirror->dumping = 0;
	next_window(dump);
	if (end)
		next_step(mirror);
	return mirror->what.messages - before + 1;
}
