/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A port comes and goes: device, TAP, exception thread, lcore, mirror, and back in reverse. */
#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "exception.h"
#include "interface.h"
#include "lcore.h"
#include "memory.h"
#include "mirror.h"
#include "tap.h"
#include "worker.h"

struct gw_worker_port gw_ports[GW_WORKER_PORTS];

static int
check_options(const struct gw_port_options *options)
{
	if (!memchr(options->name, 0, sizeof(options->name)) ||
	    !memchr(options->tap, 0, sizeof(options->tap)) ||
	    !memchr(options->device, 0, sizeof(options->device)))
		return gw_fail(EINVAL, "a name is too long");
	if (options->polling > GW_POLLING_INTERRUPT)
		return gw_fail(EINVAL, "there is no polling %u", options->polling);
	if (options->lcore != (uint16_t)GW_ANY_LCORE && options->lcore >= gw_lcore_count)
		return gw_fail(EINVAL, "there is no core number %u", options->lcore);
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		const struct gw_worker_port *port = &gw_ports[i];

		if (port->state == GW_PORT_FREE)
			continue;
		if (!strcmp(port->name, options->name))
			return gw_fail(EBUSY, "there is a port of this name");
		if (!strcmp(port->tap, options->tap))
			return gw_fail(EBUSY, "TAP %s is that of port %s", port->tap, port->name);
		if (!strcmp(port->device, options->device))
			return gw_fail(EBUSY, "%s is port %s", port->device, port->name);
	}
	return 0;
}

static uint16_t
choose_lcore(const struct gw_port_options *options)
{
	uint16_t best = 0;

	if (options->lcore != (uint16_t)GW_ANY_LCORE)
		return options->lcore;
	for (uint16_t i = 1; i < gw_lcore_count; i++) {
		if (gw_lcores[i].list->count < gw_lcores[best].list->count)
			best = i;
	}
	return best;
}

static void
init_port(struct gw_worker_port *port, uint16_t id, const struct gw_port_options *options)
{
	*port = (struct gw_worker_port){
		.id = id,
		.interface = GW_NO_INTERFACE,
		.state = GW_PORT_STARTING,
		.polling = options->polling,
		.lcore = choose_lcore(options),
		.rx_descriptors = options->rx_descriptors ?: GW_RX_DESCRIPTORS,
		.tx_descriptors = options->tx_descriptors ?: GW_TX_DESCRIPTORS,
		.tap_fd = -1,
		.wait_fd = -1,
	};
	rte_spinlock_init(&port->tx_lock);
	strcpy(port->name, options->name);
	strcpy(port->tap, options->tap);
	strcpy(port->device, options->device);
	// Of the one that had this id before; no lcore counts for it now.
	for (uint32_t i = 0; i < gw_lcore_count; i++)
		memset(gw_lcores[i].counters[id], 0, sizeof(gw_lcores[i].counters[id]));
}

static int
open_tap(struct gw_worker_port *port)
{
	const int fd = gw_tap_open(port->tap, &port->ifindex, &port->mac, &port->tap_mtu);

	if (fd < 0)
		return fd;
	port->tap_fd = fd;
	// Until it is known what the device says.
	gw_tap_carrier(fd, 0);
	port->mtu = gw_port_choose_mtu(port);
	return 0;
}

static void
close_tap(struct gw_worker_port *port)
{
	gw_tap_carrier(port->tap_fd, 0);
	close(port->tap_fd);
	port->tap_fd = -1;
}

static int
onto_lcore(struct gw_worker_port *port)
{
	int result = gw_polling_add(&gw_lcores[port->lcore], port);

	if (result)
		return result;
	port->state = GW_PORT_RUNNING;
	gw_lcore_add_port(port->lcore, port->id);
	return 0;
}

// The mirror first: before it knows the TAP, frames that come in would be dropped.
static int
into_service(struct gw_worker_port *port, bool waiting)
{
	int result;

	port->state = waiting ? GW_PORT_WAITING : GW_PORT_RUNNING;
	gw_mirror_port_added(port->id);
	if (waiting)
		return 0;
	result = onto_lcore(port);
	if (result) {
		port->state = GW_PORT_STARTING;
		gw_mirror_port_removed(port->id);
		gw_grace_period();
	}
	return result;
}

// When this returns, no lcore receives from the device or sends to it.
static void
off_lcore(struct gw_worker_port *port, enum gw_port_state state)
{
	port->state = state;
	gw_lcore_remove_port(port->lcore, port->id);
	gw_polling_remove(&gw_lcores[port->lcore], port);
}

static int
set_up(struct gw_worker_port *port)
{
	int result = open_tap(port), waiting;

	if (result)
		return result;
	waiting = result = gw_device_start(port);
	if (result < 0)
		goto no_device;
	result = gw_exception_attach(port);
	if (result)
		goto no_exception;
	result = into_service(port, waiting);
	if (result)
		goto no_service;
	return 0;

no_service:
	gw_exception_detach(port);
no_exception:
	gw_device_stop(port);
no_device:
	close_tap(port);
	return result;
}

static int
add(const struct gw_port_options *options, struct gw_worker_port **added)
{
	struct gw_worker_port *port;
	int result = check_options(options), id;

	if (result)
		return result;
	id = gw_device_open(options->device);
	if (id < 0)
		return id;
	port = &gw_ports[id];
	init_port(port, id, options);
	result = set_up(port);
	if (result) {
		gw_device_close(id);
		port->state = GW_PORT_FREE;
		return result;
	}
	gw_port_watch(port);
	*added = port;
	return 0;
}

int
gw_port_add(struct gw_worker *worker __rte_unused, const struct gw_port_options *options,
	    struct gw_worker_port **port)
{
	int result;

	pthread_mutex_lock(&gw_control);
	result = add(options, port);
	gw_mbufs_return();
	pthread_mutex_unlock(&gw_control);
	return result ? gw_fail_in(result, "port %.15s", options->name) : 0;
}

int
gw_port_remove(struct gw_worker *worker __rte_unused, struct gw_worker_port *port)
{
	pthread_mutex_lock(&gw_control);
	if (port->state == GW_PORT_FREE) {
		pthread_mutex_unlock(&gw_control);
		return gw_fail(ENOENT, "there is no such port");
	}
	gw_mirror_port_removed(port->id);
	if (port->state == GW_PORT_RUNNING)
		off_lcore(port, GW_PORT_STARTING);
	// Frames of it may still be on their way through a graph, to be punted.
	gw_grace_period();
	// Or wait for others: who has this id next would count them, and punt them by its TAP.
	gw_lcore_forget_port(port->lcore, port->id);
	gw_exception_detach(port);
	gw_device_stop(port);
	close_tap(port);
	gw_device_close(port->id);
	gw_mbufs_return();
	port->state = GW_PORT_FREE;
	pthread_mutex_unlock(&gw_control);
	return 0;
}

int
gw_port_restart(struct gw_worker_port *port)
{
	int result;

	off_lcore(port, GW_PORT_STARTING);
	gw_device_stop(port);
	port->mtu = gw_port_choose_mtu(port);
	result = gw_device_start(port);
	if (result == 0)
		result = onto_lcore(port);
	if (result < 0) {
		port->state = GW_PORT_LOST;
		snprintf(port->problem, sizeof(port->problem), "%.250s", gw_worker_error());
	}
	if (result > 0)
		port->state = GW_PORT_WAITING;
	return RTE_MIN(result, 0);
}

void
gw_port_wait(struct gw_worker_port *port)
{
	off_lcore(port, GW_PORT_WAITING);
	rte_eth_dev_stop(port->id);
}

int
gw_port_connect(struct gw_worker_port *port)
{
	int result = gw_device_connect(port);

	if (result)
		return result;
	result = onto_lcore(port);
	if (result) {
		port->state = GW_PORT_WAITING;
		rte_eth_dev_stop(port->id);
	}
	return result;
}

void
gw_port_lose(struct gw_worker_port *port)
{
	off_lcore(port, GW_PORT_LOST);
	snprintf(port->problem, sizeof(port->problem), "its device %.100s is gone: remove the port",
		 port->device);
}
