/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests for dumps. */
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "parts.h"

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

bool
dump_ask(enum step step, uint32_t bridge, uint32_t sequence)
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

	message->nlmsg_type = types[step];
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = sequence;
	put_header(message, step, bridge);
	return send(mirror.dumps, message, message->nlmsg_len, 0) >= 0;
}
