/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "port_rings.h"

#include <stdio.h>

#include <rte_errno.h>

#include "error.h"

static struct rte_ring *
make_ring(const char *way, uint16_t port, uint32_t size, unsigned int flags)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "gw-%s-%u", way, port);
	return rte_ring_create(name, size, SOCKET_ID_ANY, flags);
}

static void
free_ring(struct rte_ring **ring)
{
	struct rte_ring *gone = *ring;
	void *mbuf;

	*ring = NULL;
	while (gone && rte_ring_sc_dequeue(gone, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(gone);
}

int
gw_port_rings_create(struct gw_worker_port *port)
{
	int failed;

	// Any lcore may punt; the thread alone takes, and it alone injects, for one lcore.
	port->to_kernel = make_ring("punt", port->id, GW_PUNT_RING, RING_F_SC_DEQ);
	port->from_kernel =
		make_ring("inject", port->id, GW_INJECT_RING, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (port->to_kernel && port->from_kernel)
		return 0;
	failed = rte_errno;
	gw_port_rings_free(port);
	return gw_fail(failed, "rings to the kernel: %s", rte_strerror(failed));
}

void
gw_port_rings_free(struct gw_worker_port *port)
{
	free_ring(&port->to_kernel);
	free_ring(&port->from_kernel);
}
