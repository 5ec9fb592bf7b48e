// SPDX-License-Identifier: GPL-2.0-or-later
/* The requests that a write comes to. Remote stations are written as FRR's zebra does it. */
#include <string.h>
#include <sys/socket.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "evpn.h"

enum {
	ADD = NLM_F_CREATE | NLM_F_REPLACE,
};

static struct nlmsghdr *
begin(struct evpn_batch *batch, __u16 type, __u16 flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(batch->evpn->request + batch->bytes);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = batch->next;
	return message;
}

static void
end(struct evpn_batch *batch, const struct nlmsghdr *message)
{
	batch->bytes += MNL_ALIGN(message->nlmsg_len);
}

/* `flags` 0: it is deleted. */
static struct nlmsghdr *
begin_neighbour(struct evpn_batch *batch, __u8 family, __u16 flags, __u8 ndm_flags, __u16 state)
{
	struct nlmsghdr *message = begin(batch, flags ? RTM_NEWNEIGH : RTM_DELNEIGH, flags);
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));

	nd->ndm_family = family;
	nd->ndm_ifindex = batch->writes[batch->next].ifindex;
	nd->ndm_flags = ndm_flags;
	nd->ndm_state = state;
	return message;
}

/* ---- FDBs --------------------------------------------------------------------------------- */

static void
put_vni(struct nlmsghdr *message, const struct gw_evpn_write *write, bool remote)
{
	if (!write->vni)
		return;
	mnl_attr_put_u32(message, NDA_SRC_VNI, write->vni);
	if (remote)
		mnl_attr_put_u32(message, NDA_VNI, write->vni);
}

static void
put_vtep(struct nlmsghdr *message, const struct gw_evpn_write *write)
{
	mnl_attr_put(message, NDA_DST, evpn_address_size(write->family), write->address);
}

/* The bridge's own: `flags` 0 deletes it. */
static void
put_station(struct evpn_batch *batch, __u16 flags, __u8 ndm_flags, __u16 state)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	struct nlmsghdr *message =
		begin_neighbour(batch, AF_BRIDGE, flags, NTF_MASTER | ndm_flags, state);

	mnl_attr_put(message, NDA_LLADDR, EVPN_MAC, write->mac);
	if (write->vlan)
		mnl_attr_put_u16(message, NDA_VLAN, write->vlan);
	end(batch, message);
}

/* Each FDB by itself: an entry that is gone from one shall not keep it in the other. */
static void
delete_mac(struct evpn_batch *batch)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	struct nlmsghdr *message = begin_neighbour(batch, AF_BRIDGE, 0, NTF_SELF, 0);

	mnl_attr_put(message, NDA_LLADDR, EVPN_MAC, write->mac);
	put_vni(message, write, false);
	end(batch, message);
	put_station(batch, 0, 0, 0);
}

static void
put_mac(struct evpn_batch *batch)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	struct nlmsghdr *message;

	/* The bridge takes NTF_STICKY only without NTF_EXT_LEARNED, and keeps it then. */
	if (write->how & GW_EVPN_MAKE_STICKY)
		put_station(batch, ADD, NTF_STICKY, NUD_NOARP);
	else if (evpn_station_flags(batch->evpn, write) & GW_EVPN_STICKY)
		put_station(batch, 0, 0, 0);
	message = begin_neighbour(batch, AF_BRIDGE, ADD, NTF_SELF | NTF_MASTER | NTF_EXT_LEARNED,
				  NUD_REACHABLE);
	mnl_attr_put(message, NDA_LLADDR, EVPN_MAC, write->mac);
	if (write->vlan)
		mnl_attr_put_u16(message, NDA_VLAN, write->vlan);
	put_vtep(message, write);
	put_vni(message, write, true);
	end(batch, message);
}

static void
put_flood(struct evpn_batch *batch)
{
	static const __u8 all[EVPN_MAC];
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	bool deleting = write->how & GW_EVPN_DELETE;
	struct nlmsghdr *message =
		begin_neighbour(batch, AF_BRIDGE, deleting ? 0 : NLM_F_CREATE | NLM_F_APPEND,
				NTF_SELF, deleting ? 0 : NUD_PERMANENT | NUD_NOARP);

	mnl_attr_put(message, NDA_LLADDR, EVPN_MAC, all);
	put_vtep(message, write);
	put_vni(message, write, true);
	end(batch, message);
}

/* ---- neighbours and routes ---------------------------------------------------------------- */

static __u8
family_of(__u8 family)
{
	return family == 6 ? AF_INET6 : AF_INET;
}

static void
put_neighbour(struct evpn_batch *batch)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	bool deleting = write->how & GW_EVPN_DELETE;
	__u8 flags = write->how & GW_EVPN_IS_ROUTER ? NTF_ROUTER : 0;
	struct nlmsghdr *message =
		begin_neighbour(batch, family_of(write->family), deleting ? 0 : ADD,
				deleting ? 0 : NTF_EXT_LEARNED | flags, deleting ? 0 : NUD_NOARP);

	mnl_attr_put(message, NDA_DST, evpn_address_size(write->family), write->address);
	if (!deleting) {
		mnl_attr_put(message, NDA_LLADDR, EVPN_MAC, write->mac);
		mnl_attr_put_u8(message, NDA_PROTOCOL, batch->evpn->protocol);
	}
	end(batch, message);
}

static void
put_gateway(struct nlmsghdr *message, const struct gw_evpn_write *write)
{
	__u8 size = evpn_address_size(write->family);
	struct {
		__u16 family;
		__u8 address[16];
	} via = {.family = family_of(write->family)};

	if (write->family == write->prefix_family) {
		mnl_attr_put(message, RTA_GATEWAY, size, write->address);
		return;
	}
	memcpy(via.address, write->address, size);
	mnl_attr_put(message, RTA_VIA, sizeof(via.family) + size, &via);
}

static bool
is_link_local(const struct gw_evpn_write *write)
{
	return write->family == 6 && write->address[0] == 0xfe &&
	       (write->address[1] & 0xc0) == 0x80;
}

/* How many are written right before, for this one. */
static __u32
more_ways(const struct evpn_batch *batch)
{
	__u32 count = 0;

	while (count < batch->next && count < GW_EVPN_WAYS_MAX - 1 &&
	       batch->writes[batch->next - count - 1].how & GW_EVPN_ONE_MORE)
		count++;
	return count;
}

static void
put_ways(struct nlmsghdr *message, const struct gw_evpn_write *last, __u32 more)
{
	struct nlattr *ways = mnl_attr_nest_start(message, RTA_MULTIPATH);

	for (const struct gw_evpn_write *write = last - more; write <= last; write++) {
		struct rtnexthop *way = mnl_nlmsg_get_payload_tail(message);

		*way = (struct rtnexthop){
			.rtnh_flags = is_link_local(write) ? 0 : RTNH_F_ONLINK,
			.rtnh_ifindex = write->ifindex,
		};
		message->nlmsg_len += sizeof(*way);
		put_gateway(message, write);
		way->rtnh_len = (char *)mnl_nlmsg_get_payload_tail(message) - (char *)way;
	}
	mnl_attr_nest_end(message, ways);
}

static void
put_route(struct evpn_batch *batch)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];
	bool deleting = write->how & GW_EVPN_DELETE;
	__u32 more = deleting ? 0 : more_ways(batch);
	struct nlmsghdr *message =
		deleting ? begin(batch, RTM_DELROUTE, 0) : begin(batch, RTM_NEWROUTE, ADD);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));

	route->rtm_family = family_of(write->prefix_family);
	route->rtm_dst_len = write->prefix_length;
	route->rtm_table = RT_TABLE_UNSPEC;
	route->rtm_protocol = batch->evpn->protocol;
	route->rtm_scope = deleting ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE;
	route->rtm_type = deleting ? RTN_UNSPEC : RTN_UNICAST;
	mnl_attr_put(message, RTA_DST, evpn_address_size(write->prefix_family), write->prefix);
	mnl_attr_put_u32(message, RTA_TABLE, write->table);
	mnl_attr_put_u32(message, RTA_PRIORITY, write->metric);
	if (more) {
		put_ways(message, write, more);
	} else if (!deleting) {
		if (!is_link_local(write))
			route->rtm_flags = RTNH_F_ONLINK;
		mnl_attr_put_u32(message, RTA_OIF, write->ifindex);
		put_gateway(message, write);
	}
	end(batch, message);
}

void
evpn_request(struct evpn_batch *batch)
{
	const struct gw_evpn_write *write = &batch->writes[batch->next];

	switch (write->what) {
	case GW_EVPN_WRITE_MAC:
		if (write->how & GW_EVPN_DELETE)
			delete_mac(batch);
		else
			put_mac(batch);
		break;
	case GW_EVPN_WRITE_FLOOD:
		put_flood(batch);
		break;
	case GW_EVPN_WRITE_NEIGHBOUR:
		put_neighbour(batch);
		break;
	case GW_EVPN_WRITE_ROUTE:
		if (!(write->how & GW_EVPN_ONE_MORE))
			put_route(batch);
		break;
	}
}
