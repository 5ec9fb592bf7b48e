/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_bus.h>

#include "error.h"
#include "lcore.h"
#include "log.h"
#include "netdev.h"
#include "worker.h"

enum { FRAME_OVERHEAD = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN };

static int
refused(int result, const char *device)
{
	const char *said = gw_log_said();

	if (result == -EEXIST)
		return gw_fail(EBUSY,
			       "DPDK has a device %s already; names of vdevs differ in the "
			       "number behind the driver's name",
			       device);
	if (result == -ENOTSUP || result == -EPERM)
		return gw_fail(ENODEV,
			       "no driver of DPDK takes %s: is it bound to vfio-pci or "
			       "uio_pci_generic, and the driver's package installed? (%s)",
			       device, said);
	if (result == -ENODEV)
		return gw_fail(ENODEV, "%s: there is no such device, or its driver refuses it (%s)",
			       device, said);
	return gw_fail(ENODEV, "%s: its driver refuses it (%s)", device, said);
}

// A string that EAL cannot parse names a driver that is not there, or is no device's name at all.
static int
check_string(const char *device)
{
	struct rte_devargs arguments = {};
	const int result = rte_devargs_parse(&arguments, device);

	rte_devargs_reset(&arguments);
	if (result == 0)
		return 0;
	return gw_fail(EINVAL,
		       "DPDK does not understand \"%s\": neither a PCI address nor a vdev "
		       "whose driver is installed (%s)",
		       device, gw_log_said());
}

// One that EAL found at its start, or that was probed before by another, is as good.
static int
find(const char *device)
{
	struct rte_dev_iterator iterator;
	uint16_t id, found = RTE_MAX_ETHPORTS;

	RTE_ETH_FOREACH_MATCHING_DEV(id, device, &iterator)
	{
		if (found == RTE_MAX_ETHPORTS)
			found = id;
	}
	return found < GW_WORKER_PORTS ? found : -ENODEV;
}

int
gw_device_open(const char *device)
{
	int result, id;

	gw_log_forget();
	result = check_string(device);
	if (result)
		return result;
	result = rte_dev_probe(device);
	if (result && result != -EEXIST)
		return refused(result, device);
	id = find(device);
	if (id < 0 || gw_ports[id].state != GW_PORT_FREE)
		return refused(id < 0 ? id : -EEXIST, device);
	return id;
}

void
gw_device_close(uint16_t id)
{
	struct rte_eth_dev_info info = {};
	const bool known = rte_eth_dev_info_get(id, &info) == 0;

	rte_eth_dev_close(id);
	if (known && info.device)
		rte_dev_remove(info.device);
}

uint32_t
gw_device_max_mtu(const struct gw_worker_port *port)
{
	const uint32_t room =
		rte_pktmbuf_data_room_size(gw_the_worker.mbufs) - RTE_PKTMBUF_HEADROOM;
	struct rte_eth_dev_info info = {};
	uint32_t most;

	if (rte_eth_dev_info_get(port->id, &info) != 0)
		return RTE_ETHER_MTU;
	most = RTE_MIN(info.max_mtu, info.max_rx_pktlen - FRAME_OVERHEAD);
	if (!(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER))
		most = RTE_MIN(most, room - FRAME_OVERHEAD - RTE_VLAN_HLEN);
	return most;
}

// Only what changes a driver's choice of its functions for the worse if it is not needed.
static void
choose_offloads(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint32_t room =
		rte_pktmbuf_data_room_size(gw_the_worker.mbufs) - RTE_PKTMBUF_HEADROOM;

	if (conf->rxmode.mtu + FRAME_OVERHEAD + RTE_VLAN_HLEN > room) {
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
	port->tx_queues = info.max_tx_queues < gw_lcore_count ? 1 : gw_lcore_count;
	port->netdev = info.if_index;
	result = rte_eth_dev_configure(port->id, 1, port->tx_queues, &conf);
	if (result == 0)
		result = set_up_queues(port, &info, &conf);
	return result ?: rte_eth_dev_start(port->id);
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

// An interrupt per queue is asked for before it is known whether there is one.
static int
start(struct gw_worker_port *port)
{
	const bool wanted = port->polling != GW_POLLING_BUSY && !is_mute(port);
	int result = configure(port, wanted);

	port->rx_interrupts = 0;
	if (result && wanted)
		return configure(port, false);
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
	if (rte_eth_allmulticast_enable(port->id) != 0)
		port->hears_all = rte_eth_promiscuous_enable(port->id) == 0;
}

static int
one_queue(const struct gw_worker_port *port)
{
	struct rte_eth_dev_info info;

	// A fanout group would give us one frame of every so many.
	if (rte_eth_dev_info_get(port->id, &info) == 0 && info.if_index && info.max_rx_queues > 1)
		return gw_fail(EINVAL,
			       "a port has one receive queue: leave qpairs or queue_count "
			       "out of \"%s\"",
			       port->device);
	return 0;
}

int
gw_device_start(struct gw_worker_port *port)
{
	int result = one_queue(port);

	if (result)
		return result;
	gw_log_forget();
	result = start(port);
	if (result)
		return gw_fail(-result, "%s does not start: %s (%s)", port->device,
			       rte_strerror(-result), gw_log_said());
	port->wait_fd = port->netdev ? gw_netdev_socket(port->netdev) : -1;
	port->rx_interrupts |= port->wait_fd >= 0;
	port->max_frame = port->mtu + RTE_ETHER_HDR_LEN;
	// The drivers of NICs have it from the configuration.
	if (port->netdev)
		rte_eth_dev_set_mtu(port->id, port->mtu);
	hear_groups(port);
	result = gw_device_set_mac(port, &port->mac);
	if (result)
		gw_device_stop(port);
	return result;
}

void
gw_device_stop(struct gw_worker_port *port)
{
	rte_eth_dev_stop(port->id);
	port->wait_fd = -1;
}

int
gw_device_set_mtu(struct gw_worker_port *port, uint16_t mtu)
{
	const uint32_t room = rte_pktmbuf_data_room_size(gw_the_worker.mbufs) -
			      RTE_PKTMBUF_HEADROOM - FRAME_OVERHEAD - RTE_VLAN_HLEN;
	int result;

	// Frames of several mbufs are another configuration of the device.
	if ((mtu > room) != (port->mtu > room))
		return -EBUSY;
	result = rte_eth_dev_set_mtu(port->id, mtu);
	if (result && result != -ENOTSUP)
		return result;
	port->mtu = mtu;
	port->max_frame = mtu + RTE_ETHER_HDR_LEN;
	return 0;
}

static bool
is_vdev(const struct gw_worker_port *port)
{
	struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(port->id, &info) == 0 &&
	       strcmp(rte_bus_name(rte_dev_bus(info.device)), "vdev") == 0;
}

int
gw_device_set_mac(struct gw_worker_port *port, const struct rte_ether_addr *mac)
{
	struct rte_ether_addr wanted = *mac, has = {};
	bool taken;

	rte_eth_macaddr_get(port->id, &has);
	taken = rte_is_same_ether_addr(&has, &wanted) ||
		rte_eth_dev_default_mac_addr_set(port->id, &wanted) == 0;
	// Software does not filter, so any address will do; a NIC can be told not to.
	if (!taken && !is_vdev(port))
		port->hears_all = rte_eth_promiscuous_enable(port->id) == 0;
	taken = taken || port->hears_all || is_vdev(port);
	port->mac = taken ? wanted : port->mac;
	return taken ? 0 :
		       gw_fail(ENOTSUP,
			       "%s cannot have the address of TAP %s: give the "
			       "TAP " RTE_ETHER_ADDR_PRT_FMT,
			       port->device, port->tap, RTE_ETHER_ADDR_BYTES(&has));
}

int
gw_device_set_promiscuous(struct gw_worker_port *port, int on)
{
	int result = 0;

	if (!port->hears_all)
		result = on ? rte_eth_promiscuous_enable(port->id) :
			      rte_eth_promiscuous_disable(port->id);
	if (result == 0)
		port->promiscuous = !!on;
	return result;
}

void
gw_device_driver(const struct gw_worker_port *port, char *name, size_t size)
{
	struct rte_eth_dev_info info = {};

	if (rte_eth_dev_info_get(port->id, &info) == 0 && info.driver_name)
		snprintf(name, size, "%s", info.driver_name);
}

int
gw_device_link_up(const struct gw_worker_port *port)
{
	struct rte_eth_link link = {};

	// The drivers of kernel devices differ in whether they look.
	if (port->netdev)
		return gw_netdev_running(port->netdev);
	return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status;
}

int
gw_device_gone(const struct gw_worker_port *port)
{
	if (port->netdev)
		return !gw_netdev_exists(port->netdev);
	return port->removed || rte_eth_dev_is_removed(port->id);
}
