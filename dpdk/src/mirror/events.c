/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says by itself. */
#include <errno.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "parts.h"

static char datagram[65536];

static void
event(const struct nlmsghdr *message)
{
	mirror.count++;
	switch (message->nlmsg_type) {
	case RTM_DELADDR:
		// Routes that preferred it as their source go without a word.
		dump_want_twice(WANT(STEP_ROUTES4));
		break;
	case RTM_NEWADDR:
		// A device's first one brings next hops back to life that died with its last one.
		if (dump_running() || dump_wanted() || paths_may_revive())
			dump_want_twice(WANT(STEP_ROUTES4));
		break;
	default:
		decode_message(message);
	}
}

// The answer to gw_mirror_wait(): all that was said before was read.
static void
answer(const struct nlmsghdr *message)
{
	if (message->nlmsg_type == NLMSG_ERROR &&
	    (int32_t)(message->nlmsg_seq - mirror.acknowledged) > 0)
		mirror.acknowledged = message->nlmsg_seq;
}

/*
 * The kernel says at once that it drops events, but what waits then is older, and it goes on
 * dropping until all of that was read. Only a dump that begins after it knows more than events do.
 */
static void
events_are_read(void)
{
	if (!mirror.overrun)
		return;
	mirror.overrun = false;
	mirror.resyncs++;
	mirror.acknowledged = mirror.last_ticket;
	dump_want(WANT_ALL);
}

bool
events_read(void)
{
	struct sockaddr_nl from = {};
	struct iovec buffer = {datagram, sizeof(datagram)};
	struct msghdr how = {&from, sizeof(from), &buffer, 1, NULL, 0, 0};
	ssize_t length = recvmsg(mirror.events, &how, MSG_DONTWAIT);
	const struct nlmsghdr *message = (const struct nlmsghdr *)datagram;
	int left = length;

	if (length < 0 && errno == ENOBUFS) {
		mirror.overrun = true;
		return true;
	}
	if (length < 0) {
		events_are_read();
		return false;
	}
	if (how.msg_flags & MSG_TRUNC)
		mirror.overrun = true;
	if (from.nl_pid)
		return true; // anybody may send to a socket
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (from.nl_groups)
			event(message);
		else
			answer(message);
	}
	return true;
}
