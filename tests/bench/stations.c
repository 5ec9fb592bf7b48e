// SPDX-License-Identifier: GPL-2.0-or-later
// What an instance's mirror of the FDB holds: how many stations, or each with its way.

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bench.h"
#include "gw_abi.h"

#define BATCH 4096

struct tables {
	int fdb;
	int tunnels;
	__u32 count;
	__u8 list;
};

// MAC address, VLAN, port, and the VTEP or "-".
static int
station_print(const struct tables *tables, const struct gw_fdb_key *key,
	      const struct gw_fdb_entry *entry)
{
	const __u8 *mac = key->mac;
	struct gw_tunnel tunnel = {};
	char address[INET6_ADDRSTRLEN] = "-";
	__u32 index = entry->tunnel - 1;

	if (entry->tunnel) {
		int error = bpf_map_lookup_elem(tables->tunnels, &index, &tunnel);

		if (error)
			return error;
		inet_ntop(tunnel.flags & GW_TUNNEL_IPV6 ? AF_INET6 : AF_INET, tunnel.remote.bytes,
			  address, sizeof(address));
	}
	printf("%02x:%02x:%02x:%02x:%02x:%02x %u %u %s\n", mac[0], mac[1], mac[2], mac[3], mac[4],
	       mac[5], key->vlan, entry->port, address);

	return 0;
}

static int
batch_take(struct tables *tables, const struct gw_fdb_key *keys, const struct gw_fdb_entry *entries,
	   __u32 count)
{
	int error = 0;

	tables->count += count;
	for (__u32 i = 0; tables->list && i < count && !error; i++)
		error = station_print(tables, &keys[i], &entries[i]);

	return error;
}

static int
walk(struct tables *tables)
{
	static struct gw_fdb_key keys[BATCH];
	static struct gw_fdb_entry entries[BATCH];
	__u32 from = 0, next = 0, *start = NULL;
	int error = 0;

	while (!error) {
		__u32 count = BATCH;
		int last = bpf_map_lookup_batch(tables->fdb, start, &next, keys, entries, &count,
						NULL);

		if (last && last != -ENOENT)
			return last;
		error = batch_take(tables, keys, entries, count);
		if (last)
			break;
		from = next;
		start = &from;
	}

	return error;
}

int
bench_stations(const struct bench_options *options)
{
	struct tables tables = {.list = options->all};
	int error;

	tables.fdb = map_open(options->maps, "gw_fdb");
	tables.tunnels = map_open(options->maps, "gw_tunnels");
	if (tables.fdb < 0 || tables.tunnels < 0)
		return -ENOENT;
	error = walk(&tables);
	if (!error && !options->all)
		printf("%u\n", tables.count);

	return error;
}
