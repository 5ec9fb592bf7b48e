// SPDX-License-Identifier: GPL-2.0-or-later
/* Netlink messages become facts. Whatever is too short or too long says nothing. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include "mirror.h"

enum {
	EXT_LOCKED = 1 << 1, /* NTF_EXT_LOCKED, in no header of Debian 12: not let in (802.1X) */
	ATTRIBUTES = NDA_NH_ID + 3 + 1, /* as far as NDA_FLAGS_EXT, which is 15 */
	NEXTHOP_ATTRIBUTES = NHA_FDB + 1,
	VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
	USER_HZ = 100, /* in which the kernel counts ages, whatever its own HZ is */
	GROUP_MAX = 256, /* members of a group of next hops */
};

struct attributes {
	const struct nlattr **by_type;
	__u32 count;
};

static int
keep_attribute(const struct nlattr *attr, void *data)
{
	struct attributes *into = data;
	__u32 type = mnl_attr_get_type(attr);

	if (type < into->count)
		into->by_type[type] = attr;
	return MNL_CB_OK;
}

static bool
has(const struct nlattr *attr, size_t size)
{
	return attr && mnl_attr_get_payload_len(attr) == size;
}

static __u32
number(const struct nlattr *attr)
{
	return has(attr, sizeof(__u32)) ? mnl_attr_get_u32(attr) : 0;
}

/* 4, 6, or 0: it is no address. */
static __u8
read_address(const struct nlattr *attr, struct gw_vtep_address *address)
{
	size_t size = attr ? mnl_attr_get_payload_len(attr) : 0;

	*address = (struct gw_vtep_address){};
	if (size != 4 && size != 16)
		return 0;
	memcpy(address->bytes, mnl_attr_get_payload(attr), size);
	return size == 4 ? 4 : 6;
}

/* ---- FDBs --------------------------------------------------------------------------------- */

static struct place
read_place(const struct nlattr **attr)
{
	struct place place = {.via = number(attr[NDA_IFINDEX]), .vni = number(attr[NDA_VNI])};

	place.family = read_address(attr[NDA_DST], &place.address);
	if (has(attr[NDA_PORT], sizeof(place.port)))
		memcpy(&place.port, mnl_attr_get_payload(attr[NDA_PORT]), sizeof(place.port));
	return place;
}

/* The FDB of a VXLAN device itself. */
static void
decode_entry(struct gw_mirror *mirror, const struct ndmsg *nd, const struct nlattr **attr,
	     bool gone)
{
	struct member_key key = {
		.entry = {.ifindex = nd->ndm_ifindex, .vni = number(attr[NDA_SRC_VNI])},
		.place = read_place(attr),
	};
	bool ages = !(nd->ndm_state & (NUD_PERMANENT | NUD_NOARP)) &&
		    !(nd->ndm_flags & NTF_EXT_LEARNED);
	__u32 nexthop = number(attr[NDA_NH_ID]), target = 0;

	memcpy(key.entry.mac, mnl_attr_get_payload(attr[NDA_LLADDR]), MAC_SIZE);
	if (is_zero_mac(key.entry.mac) || is_group_mac(key.entry.mac)) {
		if (gone)
			member_gone(mirror, &key);
		else if (key.place.family)
			member_seen(mirror, &key);
		return;
	}
	if (gone) {
		entry_gone(mirror, &key.entry);
		return;
	}
	if (nexthop) {
		const struct group_key group = {key.entry.ifindex, key.entry.vni, nexthop};

		target = group_get(mirror, &group);
	} else if (key.place.family) {
		const struct remote_key remote = {key.entry.ifindex, key.entry.vni, key.place};

		target = remote_get(mirror, &remote);
	}
	entry_seen(mirror, &key.entry, target, ages);
}

/* A second before the kernel last heard it (CLOCK_MONOTONIC, s), for XDP counts in whole ones; of
 * an event, or if the message does not say, before now. */
static __u32
heard(const struct nlattr *attr)
{
	__u32 now = mirror_now(), age = 0;

	if (has(attr, sizeof(struct nda_cacheinfo)))
		age = ((const struct nda_cacheinfo *)mnl_attr_get_payload(attr))->ndm_updated;
	age = age / USER_HZ + 1;
	return age < now ? now - age : 0;
}

/* The FDB of a bridge. */
static void
decode_station(struct gw_mirror *mirror, const struct ndmsg *nd, const struct nlattr **attr,
	       bool gone)
{
	struct gw_fdb_key key = {.bridge = number(attr[NDA_MASTER])};
	enum gw_mirror_state state = GW_MIRROR_LEARNED;

	memcpy(key.mac, mnl_attr_get_payload(attr[NDA_LLADDR]), MAC_SIZE);
	if (has(attr[NDA_VLAN], sizeof(key.vlan)))
		key.vlan = mnl_attr_get_u16(attr[NDA_VLAN]);
	/* Entries made by hand are in every VLAN of their port, whether or not the bridge filters. */
	if (is_group_mac(key.mac) || !is_mirrored(mirror, key.bridge) ||
	    !has_vlan(mirror, key.bridge, key.vlan))
		return;
	/* The bridge's own addresses are no stations; one that became so was one. */
	if (gone || nd->ndm_state & NUD_PERMANENT || number(attr[NDA_FLAGS_EXT]) & EXT_LOCKED) {
		station_gone(mirror, &key);
		return;
	}
	if (nd->ndm_flags & NTF_EXT_LEARNED)
		state = GW_MIRROR_EXTERN;
	else if (nd->ndm_state & NUD_NOARP)
		state = GW_MIRROR_STATIC;
	station_seen(mirror, &key, nd->ndm_ifindex, state, heard(attr[NDA_CACHEINFO]));
}

/* ---- neighbours --------------------------------------------------------------------------- */

static void
decode_neighbour(struct gw_mirror *mirror, const struct ndmsg *nd, const struct nlattr **attr,
		 bool gone)
{
	struct neighbour_key key = {.ifindex = nd->ndm_ifindex};
	const __u8 *mac;

	key.family = read_address(attr[NDA_DST], &key.address);
	if (!key.family)
		return;
	if (gone && !mirror->dumping && is_watched(mirror, key.ifindex))
		mirror->what.forgotten++;
	if (!is_mirrored(mirror, key.ifindex))
		return;
	mac = has(attr[NDA_LLADDR], MAC_SIZE) ? mnl_attr_get_payload(attr[NDA_LLADDR]) : NULL;
	if (gone || !mac || is_group_mac(mac) || is_zero_mac(mac) || !(nd->ndm_state & VALID))
		neighbour_gone(mirror, &key);
	else
		neighbour_seen(mirror, &key, mac, nd->ndm_state);
}

static void
decode_nd(struct gw_mirror *mirror, const struct nlmsghdr *message)
{
	const struct nlattr *attr[ATTRIBUTES] = {};
	struct attributes into = {attr, ATTRIBUTES};
	const struct ndmsg *nd = mnl_nlmsg_get_payload(message);
	bool gone = message->nlmsg_type == RTM_DELNEIGH;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*nd))
		return;
	mnl_attr_parse(message, sizeof(*nd), keep_attribute, &into);
	if (nd->ndm_family == AF_INET || nd->ndm_family == AF_INET6)
		decode_neighbour(mirror, nd, attr, gone);
	else if (nd->ndm_family != AF_BRIDGE || !has(attr[NDA_LLADDR], MAC_SIZE))
		return;
	else if (attr[NDA_MASTER] && !(nd->ndm_flags & NTF_SELF))
		decode_station(mirror, nd, attr, gone);
	/* After what the VXLAN device says of a request, our own refreshing too, older kernels say
	 * it again without the VTEP (6.1 does); only the device tells of times. */
	else if (nd->ndm_flags & NTF_SELF && attr[NDA_CACHEINFO] &&
		 is_tunnel(mirror, nd->ndm_ifindex))
		decode_entry(mirror, nd, attr, gone);
}

/* ---- next hops ---------------------------------------------------------------------------- */

static void
decode_nexthop(struct gw_mirror *mirror, const struct nlmsghdr *message)
{
	const struct nlattr *attr[NEXTHOP_ATTRIBUTES] = {};
	struct attributes into = {attr, NEXTHOP_ATTRIBUTES};
	struct gw_vtep_address address;
	__u32 ids[GROUP_MAX], count = 0, id;
	__u8 family;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(struct nhmsg))
		return;
	mnl_attr_parse(message, sizeof(struct nhmsg), keep_attribute, &into);
	id = number(attr[NHA_ID]);
	if (!id)
		return;
	if (message->nlmsg_type == RTM_DELNEXTHOP || !attr[NHA_FDB]) {
		nexthop_gone(mirror, id);
		return;
	}
	if (attr[NHA_GROUP]) {
		const struct nexthop_grp *members = mnl_attr_get_payload(attr[NHA_GROUP]);
		__u32 size = mnl_attr_get_payload_len(attr[NHA_GROUP]) / sizeof(*members);

		while (count < size && count < GROUP_MAX) {
			ids[count] = members[count].id;
			count++;
		}
	}
	family = read_address(attr[NHA_GATEWAY], &address);
	nexthop_seen(mirror, id, family, &address, ids, count);
}

int
decode_message(const struct nlmsghdr *message, void *mirror)
{
	((struct gw_mirror *)mirror)->what.messages++;
	switch (message->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		decode_nd(mirror, message);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		decode_nexthop(mirror, message);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}
