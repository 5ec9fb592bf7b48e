// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Events, and dumps of the bridges' and VXLAN devices' FDBs and of the bridges' neighbours and
 * addresses.
 *
 * Events that were sent before or during a dump are read after it: the last of each fact is as new
 * as what the dump said, and what was told in between is told to nobody. The kernel goes through
 * an FDB by counting, so that an entry that is deleted hides another one from the dump: after
 * deletions there is a second look, and if that met some as well, another dump half a minute later.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "evpn.h"

enum {
	LOOKS = 2,
	REPEAT_SECONDS = 30,
	STRICT = 12, /* NETLINK_GET_STRICT_CHK: only with it are filters of dumps applied */
};

/* ---- events ------------------------------------------------------------------------------- */

static void
decode_all(struct gw_evpn *evpn, ssize_t length)
{
	const struct nlmsghdr *message = (struct nlmsghdr *)evpn->buffer;
	int left = length;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		evpn_decode(evpn, message);
}

void
evpn_drain(struct gw_evpn *evpn)
{
	int fd = mnl_socket_get_fd(evpn->events);

	for (;;) {
		struct sockaddr_nl from = {};
		socklen_t size = sizeof(from);
		ssize_t length = recvfrom(fd, evpn->buffer, sizeof(evpn->buffer), MSG_DONTWAIT,
					  (struct sockaddr *)&from, &size);

		if (length < 0 && errno == ENOBUFS) {
			evpn->status.lost++;
			evpn->overrun = 1;
		} else if (length < 0 && errno == EINTR) {
			continue;
		} else if (length < 0) {
			return;
		} else if (!from.nl_pid) {
			decode_all(evpn, length);
		}
	}
}

/* ---- dumps -------------------------------------------------------------------------------- */

/* A device that has gone has nothing. */
static int
end_of_dump(const struct nlmsghdr *message)
{
	int error = 0;

	if (mnl_nlmsg_get_payload_len(message) >= sizeof(int))
		error = *(int *)mnl_nlmsg_get_payload(message);
	return error == -ENODEV ? 0 : error;
}

/* 1: that was the end. */
static int
read_piece(struct gw_evpn *evpn, const struct mnl_socket *socket, __u32 sequence)
{
	const struct nlmsghdr *message = (struct nlmsghdr *)evpn->buffer;
	ssize_t length = mnl_socket_recvfrom(socket, evpn->buffer, sizeof(evpn->buffer));
	int left = length, error;

	if (length < 0)
		return errno == EINTR ? 0 : -errno;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (message->nlmsg_seq != sequence)
			continue;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
			error = end_of_dump(message);
			return error ? error : 1;
		}
		evpn_decode(evpn, message);
	}
	return 0;
}

/* Sends what is in the buffer, and reads the answer. */
static int
ask(struct gw_evpn *evpn, const struct mnl_socket *socket)
{
	struct nlmsghdr *message = (struct nlmsghdr *)evpn->buffer;
	__u32 sequence = ++evpn->sequence;
	int result;

	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = sequence;
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -errno;
	do
		result = read_piece(evpn, socket, sequence);
	while (!result);
	return result < 0 ? result : 0;
}

static int
ask_neighbours(struct gw_evpn *evpn, const struct mnl_socket *socket, __u8 family, __u32 bridge)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(evpn->buffer);
	struct ndmsg *nd;

	message->nlmsg_type = RTM_GETNEIGH;
	nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));
	nd->ndm_family = family;
	/* With the FDBs of its ports, VXLAN devices among them. */
	mnl_attr_put_u32(message, family == AF_BRIDGE ? NDA_MASTER : NDA_IFINDEX, bridge);
	return ask(evpn, socket);
}

static int
ask_addresses(struct gw_evpn *evpn, const struct mnl_socket *socket, __u32 bridge)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(evpn->buffer);
	struct ifaddrmsg *address;

	message->nlmsg_type = RTM_GETADDR;
	address = mnl_nlmsg_put_extra_header(message, sizeof(*address));
	address->ifa_index = bridge;
	return ask(evpn, socket);
}

static int
look_at(struct gw_evpn *evpn, const struct mnl_socket *socket, __u32 bridge)
{
	int result = ask_addresses(evpn, socket, bridge);

	if (!result)
		result = ask_neighbours(evpn, socket, AF_BRIDGE, bridge);
	if (!result)
		result = ask_neighbours(evpn, socket, AF_INET, bridge);
	if (!result)
		result = ask_neighbours(evpn, socket, AF_INET6, bridge);
	return result;
}

static int
look(struct gw_evpn *evpn, const struct mnl_socket *socket)
{
	int result = 0;

	evpn->deleted = evpn->overrun = 0;
	for (__u32 i = 0; i < evpn->bridges.count && !result; i++)
		result = look_at(evpn, socket, evpn->bridges.ifindexes[i]);
	evpn_drain(evpn);
	return result;
}

static struct mnl_socket *
open_dump(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int on = 1;

	if (!socket)
		return NULL;
	setsockopt(mnl_socket_get_fd(socket), SOL_NETLINK, STRICT, &on, sizeof(on));
	if (!mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
		return socket;
	mnl_socket_close(socket);
	return NULL;
}

static void
dump_again(struct gw_evpn *evpn, __u32 seconds)
{
	const struct itimerspec when = {.it_value.tv_sec = seconds};

	timerfd_settime(evpn->timer, 0, &when, NULL);
}

static bool
is_time(const struct gw_evpn *evpn)
{
	__u64 times;

	return read(evpn->timer, &times, sizeof(times)) == sizeof(times);
}

int
evpn_dump(struct gw_evpn *evpn)
{
	struct mnl_socket *socket = open_dump();
	int result = 0;

	if (!socket)
		return -errno;
	evpn->status.dumps++;
	evpn->status.refused = 0;
	evpn_drain(evpn);
	for (int i = 0; i < LOOKS; i++) {
		/* After a loss, what events said so far is no proof that something is there. */
		if (!i || evpn->overrun)
			evpn->round++;
		result = look(evpn, socket);
		if (result || (!evpn->deleted && !evpn->overrun))
			break;
	}
	mnl_socket_close(socket);
	if (result)
		return result;
	dump_again(evpn, evpn->deleted || evpn->overrun ? REPEAT_SECONDS : 0);
	/* What was lost may have been the news of what the dump did not see. */
	if (!evpn->overrun)
		facts_sweep(evpn);
	return 0;
}

int
gw_evpn_read(struct gw_evpn *evpn, struct gw_evpn_status *status)
{
	int result = 0;

	evpn_drain(evpn);
	if (is_time(evpn) || evpn->overrun || evpn->dump_due) {
		evpn->dump_due = 0;
		result = evpn_dump(evpn);
		evpn->dump_due |= result || evpn->overrun;
	}
	evpn->status.error = -result;
	evpn->status.facts = evpn->facts.used;
	evpn->status.waiting = evpn->queued - evpn->taken;
	*status = evpn->status;
	return result;
}
