/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the agent's segments make sense. Whether the kernel has them is another question. */
#include <errno.h>
#include <string.h>

#include "../error.h"
#include "../worker.h"
#include "segments.h"

enum {
	VNI_MAX = 0xffffff,
	LABEL_MAX = 0xfffff,
	MTU_MIN = 68, /* RFC 791: no link has less */
};

bool
is_unicast(uint8_t family, const uint8_t *address)
{
	static const uint8_t none[16];

	if (!memcmp(address, none, sizeof(none)))
		return false;
	return family == 6 ? address[0] != 0xff : address[0] < 224;
}

// -EINVAL, which every refusal of an option is.
static int
refuse(const struct gw_segment_options *segment, const char *why)
{
	return gw_fail(EINVAL, "VXLAN segment of VNI %u: %s", segment->vni, why);
}

static bool
has_places(uint32_t first, uint32_t count, uint32_t total)
{
	return first <= total && count <= total - first;
}

static int
check_addresses(const struct gw_segment_options *segment, uint32_t count,
		const struct gw_worker_address *addresses)
{
	if (!has_places(segment->first_source, segment->sources, count) ||
	    !has_places(segment->first_arrival, segment->arrivals, count))
		return refuse(segment, "its addresses are not in the list");
	if (segment->has_local && !is_unicast(segment->family, segment->local.bytes))
		return refuse(segment, "its local address is none of a host");
	for (uint32_t i = 0; i < segment->sources; i++)
		if (!is_unicast(segment->family, addresses[segment->first_source + i].bytes))
			return refuse(segment, "a listed source is none of a host");
	for (uint32_t i = 0; i < segment->arrivals; i++)
		if (!is_unicast(segment->family, addresses[segment->first_arrival + i].bytes))
			return refuse(segment, "an address where it arrives is none of a host");
	return 0;
}

static int
check_one(const struct gw_segment_options *segment)
{
	const uint32_t both = GW_SEGMENT_OPTION_ANY_SOURCE | GW_SEGMENT_OPTION_LISTED;

	if (!segment->vni || segment->vni > VNI_MAX)
		return refuse(segment, "want 1 to 16777215");
	if (!segment->ifindex || segment->ifindex > INT32_MAX || !segment->bridge ||
	    segment->bridge > INT32_MAX || segment->link > INT32_MAX)
		return refuse(segment, "there is no device of such a number");
	if (segment->family != 4 && segment->family != 6)
		return refuse(segment, "want family 4 or 6");
	if (!segment->port || !segment->first_port || segment->first_port > segment->last_port)
		return refuse(segment, "its UDP ports make no sense");
	if (segment->mtu < MTU_MIN)
		return refuse(segment, "its MTU is less than any link's");
	if (!segment->ttl || segment->label > LABEL_MAX)
		return refuse(segment, "its TTL or flow label makes no sense");
	if ((segment->flags & both) == both)
		return refuse(segment, "either every sender is believed or those of a list");
	return 0;
}

// What the kernel would not have either: one VNI twice at the same port.
static bool
clash(const struct gw_segment_options *one, const struct gw_segment_options *other)
{
	return one->ifindex == other->ifindex ||
	       (one->vni == other->vni && one->port == other->port && one->family == other->family);
}

static int
check_together(const struct gw_segment_options *segments, uint32_t count)
{
	uint16_t ports[GW_VXLAN_PORTS] = {0};

	for (uint32_t i = 0; i < count; i++) {
		uint32_t place = 0;

		for (uint32_t j = 0; j < i; j++)
			if (clash(&segments[i], &segments[j]))
				return refuse(&segments[i], "there are two of it");
		while (place < GW_VXLAN_PORTS && ports[place] && ports[place] != segments[i].port)
			place++;
		if (place == GW_VXLAN_PORTS)
			return gw_fail(ENOSPC, "VXLAN at more than %d UDP ports", GW_VXLAN_PORTS);
		ports[place] = segments[i].port;
	}
	return 0;
}

int
segments_check(const struct gw_segment_options *segments, uint32_t count, uint32_t address_count,
	       const struct gw_worker_address *addresses)
{
	int result = 0;

	if (count && !gw_the_worker.options.tunnels)
		return gw_fail(ENOSPC, "the worker was started without room for VXLAN");
	if (count > GW_SEGMENTS - 1)
		return gw_fail(ENOSPC, "%u VXLAN segments: at most %d", count, GW_SEGMENTS - 1);
	for (uint32_t i = 0; i < count && !result; i++) {
		result = check_one(&segments[i]);
		if (!result)
			result = check_addresses(&segments[i], address_count, addresses);
	}
	return result ?: check_together(segments, count);
}
