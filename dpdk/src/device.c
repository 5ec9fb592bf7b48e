/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <errno.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_bus.h>

#include "error.h"
#include "log.h"
#include "memif.h"
#include "netdev.h"
#include "worker.h"

enum { FRAME_OVERHEAD = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN };

uint32_t
gw_device_mtu_of_one_mbuf(void)
{
	return rte_pktmbuf_data_room_size(gw_the_worker.mbufs) - RTE_PKTMBUF_HEADROOM -
	       FRAME_OVERHEAD - RTE_VLAN_HLEN;
}

static int
refused(int result, const char *device)
{
	const char *said = gw_log_said();

	if (result == -EEXIST)
		return gw_fail(EBUSY,
			       "DPDK has a device %s already; names of vdevs differ in the number "
			       "behind the driver's name",
			       device);
	if (result == -ENODEV)
		return gw_fail(ENODEV, "there is no device %s (%s)", device, said);
	if (result == -ENOTSUP)
		return gw_fail(ENODEV,
			       "no driver of DPDK takes %s: is it bound to vfio-pci or "
			       "uio_pci_generic, and the driver's package installed? (%s)",
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
	gw_memif_tidy(device);
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
gw_device_netdev(const struct rte_eth_dev_info *info)
{
	const bool socket = strcmp(info->driver_name, "net_af_packet") == 0 ||
			    strcmp(info->driver_name, "net_af_xdp") == 0;

	return socket ? info->if_index : 0;
}

uint32_t
gw_device_max_mtu(const struct gw_worker_port *port)
{
	struct rte_eth_dev_info info = {};
	uint32_t most;

	if (rte_eth_dev_info_get(port->id, &info) != 0)
		return RTE_ETHER_MTU;
	most = RTE_MIN(info.max_mtu, info.max_rx_pktlen - FRAME_OVERHEAD);
	if (!(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER))
		most = RTE_MIN(most, gw_device_mtu_of_one_mbuf());
	return most;
}

int
gw_device_set_mtu(struct gw_worker_port *port, uint16_t mtu)
{
	const uint32_t room = gw_device_mtu_of_one_mbuf();
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
