// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing, many requests in one datagram. Only what fails is answered, by the time that the
 * datagram was sent: the kernel goes through it at once, and on after an error. A request's number
 * is that of its write, so that several may belong to one.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "evpn.h"

enum {
	REQUESTS_MAX = 1024, /* bytes of the longest ones of one write */
};

/* ---- what is there ------------------------------------------------------------------------ */

/* Of the bridge's entry. */
__u8
evpn_station_flags(const struct gw_evpn *evpn, const struct gw_evpn_write *write)
{
	struct gw_evpn_key key = {
		.kind = GW_EVPN_STATION,
		.ifindex = write->bridge,
		.vlan = write->vlan,
	};
	const struct gw_evpn_value *value;

	memcpy(key.mac, write->mac, EVPN_MAC);
	value = fact_find(evpn, &key);
	return value ? value->flags : 0;
}

/* Of the VXLAN device's. */
static __u8
entry_flags(const struct gw_evpn *evpn, const struct gw_evpn_write *write)
{
	struct gw_evpn_key key = {
		.kind = GW_EVPN_ENTRY,
		.ifindex = write->ifindex,
		.vni = write->vni,
	};
	const struct gw_evpn_value *value;

	memcpy(key.mac, write->mac, EVPN_MAC);
	value = fact_find(evpn, &key);
	return value ? value->flags : 0;
}

static bool
is_own_address(const struct gw_evpn *evpn, const struct gw_evpn_write *write)
{
	struct gw_evpn_key key = {
		.kind = GW_EVPN_ADDRESS,
		.ifindex = write->ifindex,
		.family = write->family,
	};

	memcpy(key.address, write->address, evpn_address_size(write->family));
	return fact_find(evpn, &key);
}

static __u8
neighbour_flags(const struct gw_evpn *evpn, const struct gw_evpn_write *write)
{
	struct gw_evpn_key key = {
		.kind = GW_EVPN_NEIGHBOUR,
		.ifindex = write->ifindex,
		.family = write->family,
	};
	const struct gw_evpn_value *value;

	memcpy(key.address, write->address, evpn_address_size(write->family));
	value = fact_find(evpn, &key);
	return value ? value->flags : 0;
}

/* Made to stay, and not by a control plane. */
static bool
is_made_to_stay(__u8 flags)
{
	return flags & GW_EVPN_STATIC && !(flags & GW_EVPN_EXTERN);
}

/* The kernel would let a remote station take the place of the bridge's own MAC address, and who
 * answers ARP from neighbours would answer for the bridge: nobody could reach the host any more. */
static bool
is_owners(const struct gw_evpn *evpn, const struct gw_evpn_write *write)
{
	if (write->how & GW_EVPN_DELETE)
		return false;
	if (write->what == GW_EVPN_WRITE_MAC)
		return is_made_to_stay(entry_flags(evpn, write)) ||
		       is_made_to_stay(evpn_station_flags(evpn, write));
	if (write->what == GW_EVPN_WRITE_NEIGHBOUR)
		return is_own_address(evpn, write) || is_made_to_stay(neighbour_flags(evpn, write));
	return false;
}

/* ---- sending ------------------------------------------------------------------------------ */

static bool
is_no_failure(const struct gw_evpn_write *write, int error)
{
	/* A device that went has taken with it what was to be deleted. */
	return write->how & GW_EVPN_DELETE &&
	       (error == -ENOENT || error == -ESRCH || error == -ENODEV);
}

static void
take_answers(struct evpn_batch *batch, ssize_t length)
{
	const struct nlmsghdr *message = (struct nlmsghdr *)batch->evpn->buffer;
	int left = length;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
		struct gw_evpn_write *write;

		if (message->nlmsg_type != NLMSG_ERROR ||
		    mnl_nlmsg_get_payload_len(message) < sizeof(*answer) ||
		    message->nlmsg_seq < batch->first || message->nlmsg_seq >= batch->next)
			continue;
		write = &batch->writes[message->nlmsg_seq];
		if (!write->error && !is_no_failure(write, answer->error))
			write->error = answer->error;
	}
}

static void
send_batch(struct evpn_batch *batch)
{
	struct gw_evpn *evpn = batch->evpn;
	int fd = mnl_socket_get_fd(evpn->requests);
	ssize_t length = 0;

	if (batch->bytes && mnl_socket_sendto(evpn->requests, evpn->request, batch->bytes) < 0) {
		for (__u32 i = batch->first; i < batch->next; i++)
			batch->writes[i].error = -errno;
	}
	while ((length = recv(fd, evpn->buffer, sizeof(evpn->buffer), MSG_DONTWAIT)) > 0)
		take_answers(batch, length);
	batch->first = batch->next;
	batch->bytes = 0;
}

int
gw_evpn_write(struct gw_evpn *evpn, struct gw_evpn_write *writes, __u32 count)
{
	struct evpn_batch batch = {.evpn = evpn, .writes = writes};
	int failed = 0;

	for (; batch.next < count; batch.next++) {
		struct gw_evpn_write *write = &writes[batch.next];

		if (batch.bytes + REQUESTS_MAX > sizeof(evpn->request))
			send_batch(&batch);
		write->error = is_owners(evpn, write) ? -EEXIST : 0;
		if (!write->error)
			evpn_request(&batch);
	}
	send_batch(&batch);
	for (__u32 i = 0; i < count; i++)
		failed += !!writes[i].error;
	return failed;
}
