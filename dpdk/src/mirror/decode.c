/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages become facts. What is too short or too long says nothing. */
#include <string.h>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "parts.h"

enum {
	EXT_LOCKED = 1 << 1, /* NTF_EXT_LOCKED, in no header of Debian 12: not let in (802.1X) */
	FORCE_FORWARDING = 9, /* NETCONFA_FORCE_FORWARDING, since 6.17 */
	FLAGS_EXT = 15, /* NDA_FLAGS_EXT */
	WEIGHT_HIGH = 5, /* place of the upper byte in struct nexthop_grp, since 6.12; 0 before */
};

void
attributes(const void *start, uint32_t length, const struct nlattr **by_type, uint32_t count)
{
	const struct nlattr *attr = start;

	memset(by_type, 0, count * sizeof(*by_type));
	while (mnl_attr_ok(attr, length)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type < count)
			by_type[type] = attr;
		length -= RTE_MIN(length, (uint32_t)MNL_ALIGN(attr->nla_len));
		attr = mnl_attr_next(attr);
	}
}

const void *
attribute_bytes(const struct nlattr *attr, uint32_t size)
{
	return attr && mnl_attr_get_payload_len(attr) == size ? mnl_attr_get_payload(attr) : NULL;
}

uint32_t
attribute_u32(const struct nlattr *attr, uint32_t otherwise)
{
	const void *bytes = attribute_bytes(attr, sizeof(uint32_t));

	if (bytes)
		memcpy(&otherwise, bytes, sizeof(otherwise));
	return otherwise;
}

/* ---- neighbours and FDBs ------------------------------------------------------------------------ */

// A VXLAN device's own FDB.
static void
decode_entry(const struct ndmsg *nd, const struct nlattr **attr, bool gone)
{
	static const uint8_t all[6];
	const uint8_t *mac = attribute_bytes(attr[NDA_LLADDR], 6);
	struct flooded_key key = {.entry = {.ifindex = nd->ndm_ifindex}};
	const rte_be16_t *port = attribute_bytes(attr[NDA_PORT], sizeof(*port));
	uint32_t size = attr[NDA_DST] ? mnl_attr_get_payload_len(attr[NDA_DST]) : 0;

	// After what the device says of a request, also of ours, older kernels say it again without
	// the VTEP (6.1 does); only the device tells of times.
	if (!mac || !attr[NDA_CACHEINFO] || !segment_of(nd->ndm_ifindex))
		return;
	memcpy(key.entry.mac, mac, sizeof(key.entry.mac));
	key.place.via = attribute_u32(attr[NDA_IFINDEX], 0);
	key.place.vni = attribute_u32(attr[NDA_VNI], 0);
	key.place.port = port ? *port : 0;
	if (size == 4 || size == 16) {
		key.place.family = size == 4 ? 4 : 6;
		memcpy(key.place.address, mnl_attr_get_payload(attr[NDA_DST]), size);
	}
	if (mac[0] & 1 || !memcmp(mac, all, sizeof(all))) {
		if (gone)
			member_gone(&key);
		else if (key.place.family)
			member_seen(&key);
	} else if (gone) {
		entry_gone(&key.entry);
	} else {
		entry_seen(&key.entry, &key.place, attribute_u32(attr[NDA_NH_ID], 0),
			   !(nd->ndm_state & (NUD_PERMANENT | NUD_NOARP)) &&
				   !(nd->ndm_flags & NTF_EXT_LEARNED));
	}
}

static void
decode_station(const struct ndmsg *nd, const struct nlattr **attr, bool gone)
{
	const uint8_t *mac = attribute_bytes(attr[NDA_LLADDR], 6);
	struct station_key key = {.bridge = attribute_u32(attr[NDA_MASTER], 0)};
	enum station_kind kind = STATION_LEARNED;

	// Entries of VLANs matter to bridges that filter them only, and those are the kernel's.
	if (!mac || mac[0] & 1 || !key.bridge || attr[NDA_VLAN])
		return;
	memcpy(key.mac, mac, sizeof(key.mac));
	if (gone) {
		station_gone(&key);
		return;
	}
	if (nd->ndm_state & NUD_PERMANENT)
		kind = STATION_LOCAL;
	else if (attribute_u32(attr[FLAGS_EXT], 0) & EXT_LOCKED)
		kind = STATION_LOCKED;
	else if (nd->ndm_state & NUD_NOARP || nd->ndm_flags & NTF_EXT_LEARNED)
		kind = STATION_STATIC;
	station_seen(&key, nd->ndm_ifindex, kind);
}

// A bridge's neighbour that a control plane has put there, as others do not.
static void
decode_binding(const struct ndmsg *nd, const struct hop_key *at, const uint8_t *mac, bool gone)
{
	struct binding_key key = {.bridge = at->ifindex, .family = at->family};

	memcpy(key.address, at->address, sizeof(key.address));
	if (!gone && nd->ndm_flags & NTF_EXT_LEARNED && neighbour_usable(nd->ndm_state, mac))
		binding_seen(&key, mac, nd->ndm_flags & NTF_ROUTER);
	else
		binding_gone(&key);
}

void
decode_neighbour(const struct nlmsghdr *message)
{
	const struct nlattr *attr[FLAGS_EXT + 1];
	const struct ndmsg *nd = mnl_nlmsg_get_payload(message);
	bool gone = message->nlmsg_type == RTM_DELNEIGH;
	struct hop_key key = {};
	const void *address;
	uint8_t flags = 0;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*nd))
		return;
	attributes(nd + 1, mnl_nlmsg_get_payload_len(message) - sizeof(*nd), attr, RTE_DIM(attr));
	if (nd->ndm_family == AF_BRIDGE) {
		if (nd->ndm_flags & NTF_SELF)
			decode_entry(nd, attr, gone);
		else
			decode_station(nd, attr, gone);
		return;
	}
	key.ifindex = nd->ndm_ifindex;
	key.family = nd->ndm_family == AF_INET6 ? FAMILY6 : FAMILY4;
	address = attribute_bytes(attr[NDA_DST], key.family == FAMILY4 ? 4 : 16);
	if (!address || nd->ndm_flags & NTF_PROXY ||
	    (nd->ndm_family != AF_INET && nd->ndm_family != AF_INET6))
		return;
	memcpy(key.address, address, key.family == FAMILY4 ? 4 : 16);
	decode_binding(nd, &key, attribute_bytes(attr[NDA_LLADDR], 6), gone);
	if (gone) {
		neighbour_gone(&key);
		return;
	}
	if (attribute_u32(attr[FLAGS_EXT], 0) & NTF_EXT_MANAGED)
		flags |= NEIGHBOUR_MANAGED;
	if (nd->ndm_flags & NTF_EXT_LEARNED)
		flags |= NEIGHBOUR_BOUND;
	neighbour_seen(&key, nd->ndm_state, attribute_bytes(attr[NDA_LLADDR], 6), flags);
}

/* ---- switches ---------------------------------------------------------------------------------------- */

void
decode_switches(const struct nlmsghdr *message)
{
	const struct nlattr *attr[FORCE_FORWARDING + 1];
	const struct netconfmsg *conf = mnl_nlmsg_get_payload(message);
	uint32_t length = mnl_nlmsg_get_payload_len(message), header = MNL_ALIGN(sizeof(*conf));
	const int32_t *ifindex;
	enum step step;

	if (length < header || (conf->ncm_family != AF_INET && conf->ncm_family != AF_INET6))
		return;
	attributes((const uint8_t *)conf + header, length - header, attr, RTE_DIM(attr));
	ifindex = attribute_bytes(attr[NETCONFA_IFINDEX], sizeof(*ifindex));
	if (!ifindex || message->nlmsg_type == RTM_DELNETCONF)
		return;
	// Switches have no stamps: what the dump says may be older than this.
	step = conf->ncm_family == AF_INET ? STEP_SWITCHES4 : STEP_SWITCHES6;
	if (!dump_decoding() && dump_of(step))
		dump_want(WANT(step));
	switches_seen(conf->ncm_family == AF_INET ? FAMILY4 : FAMILY6, *ifindex,
		      attribute_bytes(attr[NETCONFA_FORWARDING], sizeof(int32_t)),
		      attribute_bytes(attr[NETCONFA_RP_FILTER], sizeof(int32_t)),
		      attribute_bytes(attr[NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN], sizeof(int32_t)),
		      attribute_bytes(attr[FORCE_FORWARDING], sizeof(int32_t)));
}

/* ---- next hop objects -------------------------------------------------------------------------------- */

static void
decode_members(const struct nlattr *attr, struct object *object, uint32_t *members,
	       uint16_t *weights)
{
	const struct nexthop_grp *group = mnl_attr_get_payload(attr);
	uint32_t count = mnl_attr_get_payload_len(attr) / sizeof(*group);

	object->members = members;
	object->weights = weights;
	// One more than any path has: nobody takes it for the whole.
	object->count = RTE_MIN(count, (uint32_t)WAY_HOPS + 1);
	for (uint32_t i = 0; i < object->count; i++) {
		const uint32_t high = ((const uint8_t *)&group[i])[WEIGHT_HIGH];

		members[i] = group[i].id;
		weights[i] = RTE_MIN((high << 8 | group[i].weight) + 1, (uint32_t)UINT16_MAX);
	}
}

// For the FDBs of VXLAN devices.
static void
decode_fdb_nexthop(uint32_t id, const struct nlattr **attr)
{
	uint32_t size = attr[NHA_GATEWAY] ? mnl_attr_get_payload_len(attr[NHA_GATEWAY]) : 0;
	uint32_t members[WAY_HOPS + 1];
	uint16_t weights[WAY_HOPS + 1];
	struct object object = {};
	struct place place = {};

	if (attr[NHA_GROUP])
		decode_members(attr[NHA_GROUP], &object, members, weights);
	if (size == 4 || size == 16) {
		place.family = size == 4 ? 4 : 6;
		memcpy(place.address, mnl_attr_get_payload(attr[NHA_GATEWAY]), size);
	}
	fdb_nexthop_seen(id, &place, members, object.count);
}

void
decode_object(const struct nlmsghdr *message)
{
	const struct nlattr *attr[NHA_FDB + 1];
	const struct nhmsg *nh = mnl_nlmsg_get_payload(message);
	uint32_t members[WAY_HOPS + 1];
	uint16_t weights[WAY_HOPS + 1];
	struct object object = {};
	const void *address;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*nh))
		return;
	attributes(nh + 1, mnl_nlmsg_get_payload_len(message) - sizeof(*nh), attr, RTE_DIM(attr));
	object.id = attribute_u32(attr[NHA_ID], 0);
	if (!object.id)
		return;
	if (message->nlmsg_type == RTM_DELNEXTHOP) {
		object_gone(object.id);
		fdb_nexthop_gone(object.id);
		return;
	}
	if (attr[NHA_FDB]) {
		decode_fdb_nexthop(object.id, attr);
		return;
	}
	object.ifindex = attribute_u32(attr[NHA_OIF], 0);
	object.family = nh->nh_family == AF_INET6 ? FAMILY6 : FAMILY4;
	address = attribute_bytes(attr[NHA_GATEWAY], object.family == FAMILY4 ? 4 : 16);
	object.connected = !address;
	if (address)
		memcpy(object.address, address, object.family == FAMILY4 ? 4 : 16);
	object.blackhole = attr[NHA_BLACKHOLE] != NULL;
	object.encapsulates = attr[NHA_ENCAP_TYPE] != NULL;
	object.dead = !!(nh->nh_flags & RTNH_F_DEAD);
	if (attr[NHA_GROUP])
		decode_members(attr[NHA_GROUP], &object, members, weights);
	object_seen(&object);
}

void
decode_message(const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		decode_link(message);
		break;
	case RTM_NEWNETCONF:
	case RTM_DELNETCONF:
		decode_switches(message);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		rules_message(message);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		decode_object(message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		decode_neighbour(message);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		decode_route(message);
		break;
	}
}
