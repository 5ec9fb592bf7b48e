/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests for dumps, and the kernel's answers as they come. It may let us wait with both, for
 * as long as somebody changes devices (RTNL): so this is done without gw_control, which others
 * want meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "parts.h"

enum { PIECE = 65536 /* the kernel fills at most 32 KB in one go */ };

/* The mirror's thread alone uses these, and whoever starts it before. */
static struct request {
	enum step step;
	uint32_t bridge, sequence;
	bool open; /* there is more to come */
	bool unsent;
} request;

static char piece[PIECE];
static ssize_t piece_length;
static bool piece_here;

static void
put_header(struct nlmsghdr *message, enum step step, uint32_t bridge)
{
	struct ifinfomsg *link;
	struct ndmsg *nd;

	switch (step) {
	case STEP_LINKS:
		link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
		link->ifi_family = AF_UNSPEC;
		mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		break;
	case STEP_STATIONS:
		nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));
		nd->ndm_family = AF_BRIDGE;
		mnl_attr_put_u32(message, NDA_MASTER, bridge);
		break;
	case STEP_OBJECTS:
		mnl_nlmsg_put_extra_header(message, sizeof(struct nhmsg));
		break;
	case STEP_NEIGHBOURS4:
	case STEP_NEIGHBOURS6:
		nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));
		nd->ndm_family = step == STEP_NEIGHBOURS4 ? AF_INET : AF_INET6;
		break;
	case STEP_SWITCHES4:
	case STEP_SWITCHES6:
		*(uint8_t *)mnl_nlmsg_put_extra_header(message, sizeof(struct netconfmsg)) =
			step == STEP_SWITCHES4 ? AF_INET : AF_INET6;
		break;
	default:
		// struct fib_rule_hdr is laid out like it.
		*(uint8_t *)mnl_nlmsg_put_extra_header(message, sizeof(struct rtmsg)) =
			step == STEP_RULES4 || step == STEP_ROUTES4 ? AF_INET : AF_INET6;
	}
}

void
dump_ask(enum step step, uint32_t bridge)
{
	request.step = step;
	request.bridge = bridge;
	request.sequence++;
	request.open = request.unsent = true;
}

void
dump_ask_nothing(void)
{
	request.open = request.unsent = piece_here = false;
}

static bool
send_request(void)
{
	static const uint16_t types[STEPS] = {
		[STEP_LINKS] = RTM_GETLINK,	   [STEP_SWITCHES4] = RTM_GETNETCONF,
		[STEP_SWITCHES6] = RTM_GETNETCONF, [STEP_RULES4] = RTM_GETRULE,
		[STEP_RULES6] = RTM_GETRULE,	   [STEP_OBJECTS] = RTM_GETNEXTHOP,
		[STEP_NEIGHBOURS4] = RTM_GETNEIGH, [STEP_NEIGHBOURS6] = RTM_GETNEIGH,
		[STEP_STATIONS] = RTM_GETNEIGH,	   [STEP_ROUTES4] = RTM_GETROUTE,
		[STEP_ROUTES6] = RTM_GETROUTE,
	};
	char space[256];
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);

	message->nlmsg_type = types[request.step];
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = request.sequence;
	put_header(message, request.step, request.bridge);
	request.unsent = false;
	return send(mirror.dumps, message, message->nlmsg_len, 0) >= 0;
}

bool
dump_fetch(void)
{
	if (!request.open || piece_here)
		return piece_here;
	if (request.unsent && !send_request()) {
		piece_length = -1;
		piece_here = true;
		return true;
	}
	piece_length = recv(mirror.dumps, piece, sizeof(piece), MSG_DONTWAIT);
	piece_here = piece_length >= 0 || (errno != EAGAIN && errno != EINTR);
	return piece_here;
}

// Whether that was the end of what was asked for; then `error` says what became of it.
static bool
decode(int length, bool *interrupted, int *error)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)piece;

	for (; mnl_nlmsg_ok(message, length); message = mnl_nlmsg_next(message, &length)) {
		if (message->nlmsg_seq != request.sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*interrupted = true;
		if (message->nlmsg_type != NLMSG_DONE && message->nlmsg_type != NLMSG_ERROR) {
			decode_message(message);
			continue;
		}
		if (mnl_nlmsg_get_payload_len(message) >= sizeof(*error))
			memcpy(error, mnl_nlmsg_get_payload(message), sizeof(*error));
		return true;
	}
	return false;
}

enum piece
dump_decode(bool *interrupted, int *error)
{
	if (!piece_here)
		return PIECE_NONE;
	piece_here = false;
	*error = piece_length < 0 ? -EIO : 0;
	request.open = piece_length >= 0 && !decode(piece_length, interrupted, error);
	return request.open ? PIECE_ONE : PIECE_LAST;
}
