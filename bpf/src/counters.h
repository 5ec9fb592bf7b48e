/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counting what happened to a frame, and what a verdict means to the kernel. */
#ifndef GW_COUNTERS_H
#define GW_COUNTERS_H
#include "maps.h"

_Static_assert(sizeof(struct gw_port_counters) == GW_COUNTERS * sizeof(__u64),
	       "gw_port_counters has one count for each gw_counter");

/* Row 0 is no port's: what the sweep does is counted there. */
enum { ROW_SWEEP = 0 };

static __always_inline void
count_many(__u32 row, enum gw_counter what, __u32 many)
{
	struct gw_port_counters *counters = bpf_map_lookup_elem(&gw_counters, &row);

	if (counters && what < GW_COUNTERS)
		counters->count[what] += many;
}

static __always_inline void
count(__u32 row, enum gw_counter what)
{
	count_many(row, what, 1);
}

enum { NS_PER_S = 1000000000 };

static __always_inline __u32
seconds(__u64 ns)
{
	return ns / NS_PER_S;
}

static __always_inline struct gw_device *
device(__u32 ifindex)
{
	__u32 slot = ifindex % GW_DEVICES_MAX;
	struct gw_device *found = bpf_map_lookup_elem(&gw_devices, &slot);

	return found && found->ifindex == ifindex ? found : 0;
}

static __always_inline struct gw_settings *
settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gw_settings, &zero);
}
#endif
