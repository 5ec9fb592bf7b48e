/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Ethernet device of a port: DPDK's side of it. */
#ifndef GW_DEVICE_H
#define GW_DEVICE_H

#include "port.h"

/*
 * Probes a PCI address or a vdev string; the port id. -EBUSY: there already; -ENODEV: not
 * there, or no driver takes it; -EINVAL: EAL does not understand it.
 */
int gw_device_open(const char *device);
void gw_device_close(uint16_t id);

/*
 * Configures and starts the device of a port whose id, polling, mac and mtu are set. It gets
 * that address; what else it can and cannot do is in the port then. 1: all is done but for
 * gw_device_connect(), for there is nobody at its other end.
 */
int gw_device_start(struct gw_worker_port *port);

/* Whether it is a client (of memif), which somebody has to serve; and once more after a failure. */
int gw_device_waits(const struct gw_worker_port *port);
int gw_device_connect(struct gw_worker_port *port);
void gw_device_stop(struct gw_worker_port *port);

/* The longest IP packet whose frame fits into one mbuf, and that a device can take at all. */
uint32_t gw_device_mtu_of_one_mbuf(void);
uint32_t gw_device_max_mtu(const struct gw_worker_port *port);

/* -EBUSY: not while it runs. */
int gw_device_set_mtu(struct gw_worker_port *port, uint16_t mtu);
int gw_device_set_mac(struct gw_worker_port *port, const struct rte_ether_addr *mac);
int gw_device_set_promiscuous(struct gw_worker_port *port, int on);

/*
 * The kernel's device that a driver sits on by a socket, or 0. Others have an ifindex as well
 * (net_tap makes a device, mlx5 shares one) and are asked as any NIC.
 */
uint32_t gw_device_netdev(const struct rte_eth_dev_info *info);

/* Name of the driver, as DPDK has it. */
void gw_device_driver(const struct gw_worker_port *port, char *name, size_t size);
int gw_device_link_up(const struct gw_worker_port *port);
int gw_device_gone(const struct gw_worker_port *port);

#endif
