// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel is told: that stations and neighbours are in use, though it sees no frames. */
#include <string.h>
#include <sys/socket.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "mirror.h"

enum {
	REQUEST_MAX = 128, /* bytes of the longest */
	KNOWN = NUD_REACHABLE | NUD_STALE | NUD_DELAY,
};

void
request_flush(struct gw_mirror *mirror)
{
	int fd = mnl_socket_get_fd(mirror->requests);
	char answer[512];

	if (mirror->requested)
		mnl_socket_sendto(mirror->requests, mirror->request, mirror->requested);
	mirror->requested = 0;
	/* Only what failed is answered: about entries that have gone meanwhile. */
	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
}

/* A change of something that is there; nothing is made. */
static struct nlmsghdr *
begin(struct gw_mirror *mirror, __u8 family, __u32 ifindex, __u8 flags, __u16 state)
{
	struct nlmsghdr *message;
	struct ndmsg *nd;

	if (mirror->requested + REQUEST_MAX > sizeof(mirror->request))
		request_flush(mirror);
	message = mnl_nlmsg_put_header(mirror->request + mirror->requested);
	message->nlmsg_type = RTM_NEWNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_REPLACE;
	nd = mnl_nlmsg_put_extra_header(message, sizeof(*nd));
	nd->ndm_family = family;
	nd->ndm_ifindex = ifindex;
	nd->ndm_flags = flags;
	nd->ndm_state = state;
	return message;
}

static void
end(struct gw_mirror *mirror, const struct nlmsghdr *message)
{
	mirror->requested += MNL_ALIGN(message->nlmsg_len);
}

void
request_station(struct gw_mirror *mirror, const struct station *station)
{
	struct nlmsghdr *message =
		begin(mirror, AF_BRIDGE, station->port, NTF_MASTER | NTF_USE, NUD_REACHABLE);

	mnl_attr_put(message, NDA_LLADDR, MAC_SIZE, station->key.mac);
	if (station->key.vlan)
		mnl_attr_put_u16(message, NDA_VLAN, station->key.vlan);
	end(mirror, message);
}

static size_t
address_size(__u32 family)
{
	return family == 6 ? 16 : 4;
}

void
request_entry(struct gw_mirror *mirror, const struct entry *entry)
{
	const struct remote *remote = target_remote(mirror, entry->target);
	struct nlmsghdr *message;
	const struct place *place;

	if (!remote || entry->target & TARGET_GROUP)
		return;
	place = &remote->key.place;
	message = begin(mirror, AF_BRIDGE, entry->key.ifindex, NTF_SELF | NTF_USE, NUD_REACHABLE);
	mnl_attr_put(message, NDA_LLADDR, MAC_SIZE, entry->key.mac);
	mnl_attr_put(message, NDA_DST, address_size(place->family), place->address.bytes);
	if (place->port)
		mnl_attr_put_u16(message, NDA_PORT, place->port);
	if (place->vni)
		mnl_attr_put_u32(message, NDA_VNI, place->vni);
	if (place->via)
		mnl_attr_put_u32(message, NDA_IFINDEX, place->via);
	if (entry->key.vni)
		mnl_attr_put_u32(message, NDA_SRC_VNI, entry->key.vni);
	end(mirror, message);
}

void
request_neighbour(struct gw_mirror *mirror, const struct neighbour_key *key, __u8 flags,
		  __u16 state)
{
	__u8 family = key->family == 6 ? AF_INET6 : AF_INET;
	struct nlmsghdr *message = begin(mirror, family, key->ifindex, flags, state);

	mnl_attr_put(message, NDA_DST, address_size(key->family), key->address.bytes);
	end(mirror, message);
}

static bool
is_back(const struct gw_mirror *mirror, const struct gw_fdb_key *key)
{
	const struct station *station = table_find(&mirror->stations, key);

	return station && !station->stamp.gone;
}

void
recall_forgotten(struct gw_mirror *mirror)
{
	for (__u32 i = 0; i < mirror->n_forgotten; i++) {
		const struct gw_fdb_key *key = &mirror->forgotten[i];
		const struct behind *behind = NULL;
		struct neighbour *neighbour;

		if (is_back(mirror, key))
			continue;
		/* The bridge would not learn it again from frames that XDP takes, and flood every
		 * answer; one that is not there any more ends as a failed neighbour. */
		while ((neighbour = neighbour_behind(mirror, key->bridge, key->mac, &behind)))
			if (neighbour->key.family == 4 && neighbour->state & KNOWN)
				request_neighbour(mirror, &neighbour->key, 0, NUD_PROBE);
	}
	if (mirror->n_forgotten)
		request_flush(mirror);
	mirror->n_forgotten = 0;
}
