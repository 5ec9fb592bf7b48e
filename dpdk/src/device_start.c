/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the device of a port is configured: as it can, and as little as will do. */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "lcore.h"
#include "log.h"
#include "memif.h"
#include "memory.h"
#include "netdev.h"
#include "worker.h"

// Only what changes a driver's choice of its functions for the worse if it is not needed.
static void
choose_offloads(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	if (conf->rxmode.mtu > gw_device_mtu_of_one_mbuf()) {
		conf->rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
		conf->txmode.offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	} else {
		// Every frame is one mbuf of the one pool, and nobody else holds it.
		conf->txmode.offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	}
}

static int
set_up_queues(const struct gw_worker_port *port, struct rte_eth_dev_info *info,
	      const struct rte_eth_conf *conf)
{
	const int socket = rte_eth_dev_socket_id(port->id);
	uint16_t received = port->rx_descriptors, sent = port->tx_descriptors;
	int result = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &received, &sent);

	if (result)
		return result;
	info->default_rxconf.offloads = conf->rxmode.offloads;
	info->default_txconf.offloads = conf->txmode.offloads;
	result = rte_eth_rx_queue_setup(port->id, 0, received, socket, &info->default_rxconf,
					gw_the_worker.mbufs);
	for (uint16_t i = 0; i < port->tx_queues && result == 0; i++)
		result = rte_eth_tx_queue_setup(port->id, i, sent, socket, &info->default_txconf);
	return result;
}

// Ours to choose, but for those of af_xdp: its memory for frames is the pool.
static int
claim_mbufs(struct gw_worker_port *port, const struct rte_eth_dev_info *info)
{
	uint16_t received = port->rx_descriptors, sent = port->tx_descriptors;

	rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &received, &sent);
	if (strcmp(info->driver_name, "net_af_xdp") == 0) {
		received = info->default_rxportconf.ring_size;
		sent = info->default_txportconf.ring_size;
	}
	return gw_mbufs_claim(port, received, sent * port->tx_queues);
}

static int
configure(struct gw_worker_port *port, bool interrupts)
{
	struct rte_eth_conf conf = {
		.rxmode = {.mq_mode = RTE_ETH_MQ_RX_NONE, .mtu = port->mtu},
		.txmode = {.mq_mode = RTE_ETH_MQ_TX_NONE},
		.intr_conf = {.rxq = interrupts},
	};
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port->id, &info);

	if (result)
		return result;
	conf.intr_conf.rmv = !!(*info.dev_flags & RTE_ETH_DEV_INTR_RMV);
	choose_offloads(&info, &conf);
	port->netdev = gw_device_netdev(&info);
	result = rte_eth_dev_configure(port->id, 1, port->tx_queues, &conf);
	if (result == 0)
		result = set_up_queues(port, &info, &conf);
	return result;
}

// Bound to uio_pci_generic: a NIC's one interrupt, which no driver uses for its queues.
static bool
without_vectors(const struct rte_eth_dev_info *info)
{
	char link[128], target[256];
	ssize_t length;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/driver", rte_dev_name(info->device));
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	return strstr(target, "uio") != NULL;
}

// Drivers that say yes to everything and whose interrupts never come (the 82574's vectors).
static bool
is_mute(const struct gw_worker_port *port)
{
	struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(port->id, &info) != 0 ||
	       strcmp(info.driver_name, "net_e1000_em") == 0 || without_vectors(&info);
}

static int
on_removal(uint16_t id __rte_unused, enum rte_eth_event_type event __rte_unused, void *port,
	   void *answer __rte_unused)
{
	// In the interrupt thread; gw_ports_watch() does the rest.
	((struct gw_worker_port *)port)->removed = 1;
	return 0;
}

// An interrupt per queue is asked for before it is known whether there is one.
static int
start(struct gw_worker_port *port)
{
	const bool waits = gw_device_waits(port);
	const bool wanted = port->polling != GW_POLLING_BUSY && !waits && !is_mute(port);
	int result = configure(port, wanted);

	port->rx_interrupts = 0;
	if (result == 0 && waits)
		return gw_device_connect(port) ? 1 : 0;
	result = result ?: rte_eth_dev_start(port->id);
	if (result && wanted)
		return configure(port, false) ?: rte_eth_dev_start(port->id);
	if (result == 0 && wanted && rte_eth_dev_rx_intr_enable(port->id, 0) == 0) {
		rte_eth_dev_rx_intr_disable(port->id, 0);
		port->rx_interrupts = 1;
	}
	return result;
}

/*
 * Frames for groups have to come in: neighbour discovery. A device that cannot choose takes
 * everything anyway (pcap, memif), or can be told to.
 */
static void
hear_groups(struct gw_worker_port *port)
{
	if (port->wait_fd >= 0 && gw_netdev_hear_groups(port->netdev, port->wait_fd) == 0)
		return;
	if (rte_eth_allmulticast_enable(port->id) != 0)
		port->hears_all = rte_eth_promiscuous_enable(port->id) == 0;
}

static int
check_netdev(const struct gw_worker_port *port, const struct rte_eth_dev_info *info)
{
	if (gw_device_netdev(info) == 0)
		return 0;
	// A fanout group would give us one frame of every so many.
	if (info->max_rx_queues > 1)
		return gw_fail(EINVAL,
			       "a port has one receive queue: leave qpairs or queue_count out of "
			       "\"%s\"",
			       port->device);
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		const struct gw_worker_port *other = &gw_ports[i];

		if (other != port && other->state != GW_PORT_FREE &&
		    other->netdev == info->if_index)
			return gw_fail(EBUSY, "port %s has the device of \"%s\" already",
				       other->name, port->device);
	}
	return 0;
}

static int
prepare(struct gw_worker_port *port)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port->id, &info);

	if (result)
		return gw_fail(-result, "%s does not say what it is", port->device);
	port->tx_queues = info.max_tx_queues < gw_lcore_count ? 1 : gw_lcore_count;
	return check_netdev(port, &info) ?: claim_mbufs(port, &info);
}

int
gw_device_start(struct gw_worker_port *port)
{
	int result = prepare(port), waiting;

	if (result)
		return result;
	gw_log_forget();
	result = start(port);
	if (result < 0)
		return gw_fail(-result, "%s does not start: %s (%s)", port->device,
			       rte_strerror(-result), gw_log_said());
	waiting = result;
	port->wait_fd = port->netdev ? gw_netdev_socket(port->netdev) : -1;
	port->rx_interrupts |= port->wait_fd >= 0;
	port->max_frame = port->mtu + RTE_ETHER_HDR_LEN;
	rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_RMV, on_removal, port);
	// The drivers of NICs have it from the configuration.
	if (port->netdev)
		rte_eth_dev_set_mtu(port->id, port->mtu);
	hear_groups(port);
	result = gw_device_set_mac(port, &port->mac);
	if (result == 0 && port->promiscuous) // it has been started anew
		result = gw_device_set_promiscuous(port, 1);
	if (result)
		gw_device_stop(port);
	return result ?: waiting;
}

// A client that nobody serves cannot start; of one whose server went, nothing is left to use.
int
gw_device_waits(const struct gw_worker_port *port)
{
	return gw_memif_is_client(port->device);
}

int
gw_device_connect(struct gw_worker_port *port)
{
	int result;

	gw_log_hush(1);
	result = rte_eth_dev_start(port->id);
	gw_log_hush(0);
	return result;
}

void
gw_device_stop(struct gw_worker_port *port)
{
	// A kernel's device would stay as it was told to be.
	rte_eth_promiscuous_disable(port->id);
	rte_eth_dev_callback_unregister(port->id, RTE_ETH_EVENT_INTR_RMV, on_removal, port);
	rte_eth_dev_stop(port->id);
	port->wait_fd = -1;
}
