/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the FDB says of a station, read back from the data path's own tables. */
#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "../error.h"
#include "../fdb.h"
#include "../port.h"
#include "parts.h"

static void
describe_tunnel(uint16_t slot, struct gw_place *place)
{
	const struct gw_tunnel *tunnel = &gw_tunnels[slot];
	const uint8_t *ip = tunnel->header + RTE_ETHER_HDR_LEN;
	const struct rte_vxlan_hdr *vxlan =
		(const struct rte_vxlan_hdr *)(tunnel->header + tunnel->length) - 1;
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)vxlan - 1;

	place->kind = GW_PLACE_TUNNEL;
	place->family = ip[0] >> 4;
	place->by_kernel = !!(tunnel->flags & GW_TUNNEL_KERNEL);
	place->may_send = !!(tunnel->flags & GW_TUNNEL_SENDS);
	place->ifindex = gw_segments[tunnel->segment].ifindex;
	place->udp_port = rte_be_to_cpu_16(udp->dst_port);
	place->vni = rte_be_to_cpu_32(vxlan->vx_vni) >> 8;
	if (place->family == 4)
		memcpy(place->vtep.bytes, ip + offsetof(struct rte_ipv4_hdr, dst_addr), 4);
	else
		memcpy(place->vtep.bytes, ip + offsetof(struct rte_ipv6_hdr, dst_addr), 16);
}

static void
describe(union gw_fdb_place found, struct gw_place *place)
{
	place->ages = !(found.flags & GW_FDB_STATIC);
	if (found.flags & GW_FDB_LOCAL) {
		place->kind = GW_PLACE_LOCAL;
	} else if (found.flags & GW_FDB_TUNNEL) {
		describe_tunnel(found.port, place);
	} else if (found.port == GW_NO_PORT) {
		place->kind = GW_PLACE_KERNEL;
	} else {
		place->kind = GW_PLACE_PORT;
		place->ifindex = gw_ports[found.port].ifindex;
	}
}

int
gw_mirror_locate(struct gw_worker *worker __rte_unused, uint32_t bridge, const uint8_t *mac,
		 struct gw_place *place)
{
	struct gw_fdb_key key = {};
	int32_t index = -1;

	memset(place, 0, sizeof(*place));
	memcpy(&key.mac, mac, sizeof(key.mac));
	mirror_enter();
	key.bridge = slot_of(bridge);
	if (key.bridge)
		index = rte_hash_lookup(gw_fdb, &key);
	if (index >= 0)
		describe(gw_fdb_place(&gw_fdb_entries[index]), place);
	mirror_leave();
	return key.bridge ? 0 : gw_fail(ENODEV, "the worker has no bridge %u", bridge);
}
