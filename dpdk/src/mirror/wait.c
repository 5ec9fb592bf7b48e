/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gw_mirror_wait(): tickets, which the kernel numbers in the queue of its events. */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "../error.h"
#include "../worker.h"
#include "parts.h"

static uint32_t to_settle;

void
mirror_settle(uint32_t ticket)
{
	to_settle = ticket;
}

void
tickets_settle(void)
{
	if (!dump_running() && !dump_wanted() && !mirror.overrun)
		to_settle = mirror.acknowledged;
	if (to_settle == mirror.settled)
		return;
	mirror.settled = to_settle;
	pthread_cond_broadcast(&mirror.settling);
}

int
gw_mirror_wait(struct gw_worker *worker, uint32_t milliseconds)
{
	struct nlmsghdr ask = {.nlmsg_len = sizeof(ask), .nlmsg_type = NLMSG_NOOP};
	struct timespec until;
	uint32_t ticket;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	mirror_enter();
	ticket = ++mirror.last_ticket;
	ask.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ask.nlmsg_seq = ticket;
	// The answer queues up behind the events; if there is no room, a resync answers.
	send(mirror.events, &ask, sizeof(ask), 0);
	mirror_wake();
	while (!result && (int32_t)(mirror.settled - ticket) < 0)
		result = pthread_cond_timedwait(&mirror.settling, &gw_control, &until);
	mirror_leave();
	if (result)
		return gw_fail(ETIME, "the mirror has not caught up within %u ms", milliseconds);
	return 0;
}
