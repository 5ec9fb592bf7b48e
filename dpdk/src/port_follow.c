/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device follows its TAP, the TAP's carrier follows the device. */
#include <stdio.h>

#include "device.h"
#include "port.h"
#include "tap.h"

uint16_t
gw_port_choose_mtu(struct gw_worker_port *port)
{
	const uint32_t most = gw_device_max_mtu(port);

	// A device that cannot take frames as long as the TAP's is a lesser evil than none.
	if (port->tap_mtu <= most)
		return port->tap_mtu;
	snprintf(port->problem, sizeof(port->problem),
		 "its device takes an MTU of at most %u, and %s has %u: longer frames are lost",
		 most, port->tap, port->tap_mtu);
	return most;
}

static void
complain(struct gw_worker_port *port, const char *what, int result)
{
	if (result)
		snprintf(port->problem, sizeof(port->problem), "its driver refuses %s: %s", what,
			 rte_strerror(-result));
}

static void
follow_mtu(struct gw_worker_port *port, uint32_t mtu)
{
	uint16_t wanted;
	int result;

	port->tap_mtu = mtu;
	wanted = gw_port_choose_mtu(port);
	if (wanted == port->mtu)
		return;
	result = gw_device_set_mtu(port, wanted);
	// The socket of a driver on a kernel device would not survive a stop.
	if (result == -EBUSY && !port->netdev)
		result = gw_port_restart(port);
	complain(port, "the MTU", result);
}

void
gw_port_follow(struct gw_worker_port *port, int up, uint32_t mtu, const struct rte_ether_addr *mac,
	       int promiscuous)
{
	port->up = up;
	if (port->state != GW_PORT_RUNNING && port->state != GW_PORT_WAITING)
		return;
	// What was refused is tried again, so that only what still fails is a problem.
	port->problem[0] = '\0';
	follow_mtu(port, mtu);
	if (port->state == GW_PORT_LOST)
		return;
	if (!rte_is_same_ether_addr(&port->mac, mac))
		complain(port, "the MAC address", gw_device_set_mac(port, mac));
	if (port->promiscuous != !!promiscuous)
		complain(port, "promiscuous mode", gw_device_set_promiscuous(port, promiscuous));
}

// A link takes a moment to come up after it has been connected.
static void
watch_client(struct gw_worker_port *port)
{
	if (port->state == GW_PORT_RUNNING) {
		port->unlinked = gw_device_link_up(port) ? 0 : port->unlinked + 1;
		if (port->unlinked > 1)
			gw_port_wait(port);
	}
	if (port->state != GW_PORT_WAITING)
		return;
	port->unlinked = 0;
	if (gw_port_connect(port) == 0)
		port->problem[0] = '\0';
	else if (port->problem[0] == '\0')
		snprintf(port->problem, sizeof(port->problem),
			 "nobody serves %.100s: it is tried every second", port->device);
}

void
gw_port_watch(struct gw_worker_port *port)
{
	int up;

	if (port->state == GW_PORT_RUNNING && gw_device_gone(port))
		gw_port_lose(port);
	if (port->state != GW_PORT_LOST && gw_device_waits(port))
		watch_client(port);
	up = port->state == GW_PORT_RUNNING && gw_device_link_up(port);
	if (up != port->link_up && gw_tap_carrier(port->tap_fd, up) == 0)
		port->link_up = up;
	if (port->tap_gone && port->state == GW_PORT_RUNNING)
		snprintf(port->problem, sizeof(port->problem),
			 "its TAP %s was deleted: remove the port and add it again", port->tap);
}

void
gw_ports_watch(void)
{
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		if (gw_ports[i].state != GW_PORT_FREE)
			gw_port_watch(&gw_ports[i]);
	}
}
