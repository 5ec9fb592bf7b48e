/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "error.h"
#include "fdb.h"
#include "fib.h"
#include "neighbour.h"
#include "nexthop.h"
#include "port.h"
#include "worker.h"

enum {
	MBUFS = 16383, /* one less than a power of two fits rte_mempool best */
	MBUF_CACHE = 512,
	/* rte_mempool_objhdr and the alignment of an object to cache lines. */
	MBUF_BYTES = 64 + sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE,
	ROUTES4 = 131072,
	ROUTES6 = 16384,
	NEIGHBOURS = 8192,
	STATIONS = 16384,
	/* Ethernet devices' own: queues, rings to and from the kernel. */
	PORT_BYTES = 1 << 20,
	/* Graphs, RCU, EAL's own tables, and what the heap loses at its edges. */
	OTHER_BYTES = 12 << 20,
};

void
gw_memory_defaults(struct gw_worker_options *options)
{
	options->mbufs = options->mbufs ?: MBUFS;
	options->routes4 = options->routes4 ?: ROUTES4;
	options->routes6 = options->routes6 ?: ROUTES6;
	options->neighbours = options->neighbours ?: NEIGHBOURS;
	options->stations = options->stations ?: STATIONS;
}

uint64_t
gw_worker_minimum(const struct gw_worker_options *given, uint32_t ports)
{
	struct gw_worker_options options = *given;

	gw_memory_defaults(&options);
	return gw_fib4_bytes(options.routes4) + gw_fib6_bytes(options.routes6, options.tbl8_6) +
	       gw_neighbours_bytes(options.neighbours) + gw_fdb_bytes(options.stations) +
	       GW_NEXTHOPS * sizeof(struct gw_nexthop) + (uint64_t)options.mbufs * MBUF_BYTES +
	       (uint64_t)ports * PORT_BYTES + OTHER_BYTES;
}

struct rte_mempool *
gw_mbufs_create(uint32_t count)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"gw_mbufs", count, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (!pool)
		gw_fail(rte_errno ?: ENOMEM, "no memory for %u frames: %llu MB of hugepages", count,
			(unsigned long long)count * MBUF_BYTES >> 20);
	return pool;
}

int
gw_memory_read(struct gw_worker *worker, struct gw_memory_status *status)
{
	uint32_t ports = 0;

	*status = (struct gw_memory_status){.mbufs = worker->options.mbufs};
	pthread_mutex_lock(&gw_control);
	for (uint32_t socket = 0; socket < rte_socket_count(); socket++) {
		struct rte_malloc_socket_stats stats;

		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(socket), &stats))
			continue;
		status->heap_bytes += stats.heap_totalsz_bytes;
		status->heap_free_bytes += stats.heap_freesz_bytes;
	}
	for (uint32_t i = 0; i < GW_WORKER_PORTS; i++)
		ports += gw_ports[i].state != GW_PORT_FREE;
	status->hugepages_bytes = rte_eal_get_physmem_size();
	status->mbufs_free = rte_mempool_avail_count(worker->mbufs);
	status->minimum_bytes = gw_worker_minimum(&worker->options, RTE_MAX(ports, 1u));
	pthread_mutex_unlock(&gw_control);
	return 0;
}
