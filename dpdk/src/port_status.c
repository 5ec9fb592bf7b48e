/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a port is doing, and what has become of its frames. */
#include <string.h>

#include "device.h"
#include "error.h"
#include "lcore.h"
#include "port.h"
#include "worker.h"

struct gw_worker_port *
gw_port_by_ifindex(uint32_t ifindex)
{
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		if (gw_ports[i].state != GW_PORT_FREE && gw_ports[i].ifindex == ifindex)
			return &gw_ports[i];
	}
	return NULL;
}

static void
read_state(const struct gw_worker_port *port, struct gw_port_status *status)
{
	const struct gw_lcore *lcore = &gw_lcores[port->lcore];

	*status = (struct gw_port_status){
		.mtu = port->mtu,
		.ifindex = port->ifindex,
		.link_up = port->link_up,
		.admin_up = port->up,
		.polling = port->polling,
		.rx_interrupts = port->rx_interrupts,
		.sleeping = lcore->asleep,
		.lcore = gw_the_worker.options.cores[port->lcore],
		.to_kernel = port->punted,
		.from_kernel = port->injected + port->cut_off,
	};
	memcpy(status->name, port->name, sizeof(status->name));
	memcpy(status->tap, port->tap, sizeof(status->tap));
	memcpy(status->device, port->device, sizeof(status->device));
	memcpy(status->problem, port->problem, sizeof(status->problem));
	memcpy(status->mac, &port->mac, sizeof(status->mac));
}

static void
read_device(const struct gw_worker_port *port, struct gw_port_status *status)
{
	struct rte_eth_stats stats = {};
	struct rte_eth_link link = {};

	gw_device_driver(port, status->driver, sizeof(status->driver));
	if (!port->netdev && rte_eth_link_get_nowait(port->id, &link) == 0 &&
	    link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		status->speed = link.link_speed;
	rte_eth_stats_get(port->id, &stats);
	status->rx_packets = stats.ipackets;
	status->rx_bytes = stats.ibytes;
	status->rx_missed = stats.imissed;
	status->rx_errors = stats.ierrors;
	status->rx_no_buffer = stats.rx_nombuf;
	status->tx_packets = stats.opackets;
	status->tx_bytes = stats.obytes;
	status->tx_errors = stats.oerrors;
}

static int
no_port(void)
{
	pthread_mutex_unlock(&gw_control);
	return gw_fail(ENOENT, "there is no such port");
}

int
gw_port_read(struct gw_worker *worker __rte_unused, struct gw_worker_port *port,
	     struct gw_port_status *status)
{
	pthread_mutex_lock(&gw_control);
	if (port->state == GW_PORT_FREE)
		return no_port();
	read_state(port, status);
	read_device(port, status);
	pthread_mutex_unlock(&gw_control);
	return 0;
}

int
gw_port_counters(struct gw_worker *worker __rte_unused, struct gw_worker_port *port,
		 uint64_t *values)
{
	pthread_mutex_lock(&gw_control);
	if (port->state == GW_PORT_FREE)
		return no_port();
	memcpy(values, port->punts, sizeof(port->punts));
	for (uint32_t i = 0; i < gw_lcore_count; i++) {
		for (uint32_t counter = 0; counter < GW_COUNTER_COUNT; counter++)
			values[counter] += gw_lcores[i].counters[port->id][counter];
	}
	values[GW_DROP_TAP] += port->tap_refused;
	values[GW_DROP_TX_TOO_LONG] += port->cut_off;
	pthread_mutex_unlock(&gw_control);
	return 0;
}
