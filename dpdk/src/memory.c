/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "error.h"
#include "exception.h"
#include "fdb.h"
#include "fib.h"
#include "neighbour.h"
#include "nexthop.h"
#include "port.h"
#include "reassembly.h"
#include "tunnel.h"
#include "worker.h"

/* A thread that is preempted in the middle of it holds nobody up. */
#define POOL_OPS "ring_mt_rts"

enum {
	MBUFS = 16384,
	MBUF_CACHE = 512,
	/* No port's: in the cache, which is let grow by half, or on its way through the graph. */
	LCORE_MBUFS = MBUF_CACHE + MBUF_CACHE / 2 + 3 * GW_RX_BURST,
	/* Pieces of outer packets that wait for others, where there are tunnels. */
	LCORE_PIECES = GW_PIECES_SETS * GW_PIECES_HELD,
	/* A ring to receive, and those to and from the kernel; each lcore has one more to send. */
	PORT_MBUFS = GW_RX_DESCRIPTORS + GW_PUNT_RING + GW_INJECT_RING,
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

/*
 * The pool's ring has the next power of two places. Others go on while a thread of the kernel's
 * scheduler is held up between taking its places and saying so (POOL_OPS), by an eighth of the ring
 * and one bulk; what they give back meanwhile needs that many places more than there are mbufs.
 */
static uint32_t
with_room(uint32_t mbufs)
{
	const uint64_t ring = rte_align64pow2((uint64_t)mbufs + 1);

	// More than a ring can have is more than a memory has, and refused for that.
	return mbufs > ring / 4 * 3 ? RTE_MIN(ring, (uint64_t)UINT32_MAX) : mbufs;
}

static uint32_t
shared_mbufs(const struct gw_worker_options *options)
{
	const uint32_t lcore = LCORE_MBUFS + (options->tunnels ? LCORE_PIECES : 0);

	return options->core_count * lcore + GW_EXCEPTION_MBUFS;
}

void
gw_memory_defaults(struct gw_worker_options *options, uint32_t ports)
{
	const uint32_t port = RTE_MAX(options->core_count, 1u) * GW_TX_DESCRIPTORS + PORT_MBUFS;
	const uint32_t wanted = shared_mbufs(options) + ports * port;

	options->mbufs = with_room(options->mbufs ?: RTE_MAX(wanted, (uint32_t)MBUFS));
	options->routes4 = options->routes4 ?: ROUTES4;
	options->routes6 = options->routes6 ?: ROUTES6;
	options->neighbours = options->neighbours ?: NEIGHBOURS;
	options->stations = options->stations ?: STATIONS;
}

uint64_t
gw_worker_minimum(const struct gw_worker_options *given, uint32_t ports)
{
	struct gw_worker_options options = *given;

	gw_memory_defaults(&options, ports);
	return gw_fib4_bytes(options.routes4) + gw_fib6_bytes(options.routes6, options.tbl8_6) +
	       gw_neighbours_bytes(options.neighbours) + gw_fdb_bytes(options.stations) +
	       gw_tunnels_bytes(options.tunnels, options.stations) +
	       gw_reassembly_bytes(options.tunnels ? options.core_count : 0) +
	       GW_NEXTHOPS * sizeof(struct gw_nexthop) + (uint64_t)options.mbufs * MBUF_BYTES +
	       (uint64_t)ports * PORT_BYTES + OTHER_BYTES;
}

struct rte_mempool *
gw_mbufs_create(uint32_t count)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create_by_ops("gw_mbufs", count, MBUF_CACHE, 0,
					       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, POOL_OPS);

	if (!pool)
		gw_fail(rte_errno ?: ENOMEM, "no memory for %u frames: %llu MB of hugepages", count,
			(unsigned long long)count * MBUF_BYTES >> 20);
	return pool;
}

int
gw_mbufs_claim(struct gw_worker_port *port, uint32_t rx, uint32_t tx)
{
	const struct gw_worker_options *options = &gw_the_worker.options;
	const uint32_t wanted = rx + tx + GW_PUNT_RING + GW_INJECT_RING;
	uint32_t taken = shared_mbufs(options);

	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		if (&gw_ports[i] != port && gw_ports[i].state != GW_PORT_FREE)
			taken += gw_ports[i].mbufs;
	}
	if (taken + wanted > options->mbufs)
		return gw_fail(
			ENOSPC,
			"no room for its frames: its rings (%u to receive, %u to send, %u to "
			"and from the kernel) may hold %u, and of the %u that there are %u are "
			"spoken for; a worker that knows of the port when it starts has more",
			rx, tx, GW_PUNT_RING + GW_INJECT_RING, wanted, options->mbufs, taken);
	port->mbufs = wanted;
	return 0;
}

void
gw_mbufs_return(void)
{
	rte_mempool_cache_flush(NULL, gw_the_worker.mbufs);
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
