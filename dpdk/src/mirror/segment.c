/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VXLAN segments that the agent has named. */
#include <errno.h>

#include "../error.h"
#include "../tunnel.h"
#include "parts.h"

int
gw_segments_set(struct gw_worker *worker __rte_unused, const struct gw_segment_options *segments,
		uint32_t count, const struct gw_worker_address *addresses, uint32_t address_count)
{
	return gw_fail(ENOTSUP, "no VXLAN yet: %u segments", count);
}

int
gw_segments_read(struct gw_worker *worker __rte_unused, struct gw_segment_status *segments,
		 uint32_t capacity)
{
	return 0;
}
