/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ethernet devices of DPDK, each with its TAP in the kernel. Indexed by DPDK's port id. */
#ifndef GW_PORT_H
#define GW_PORT_H

#include <pthread.h>

#include <rte_ethdev.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "gw_worker.h"

enum gw_port_limits {
	GW_RX_DESCRIPTORS = 512,
	GW_TX_DESCRIPTORS = 512,
	GW_PUNT_RING = 512, /* frames that wait for the TAP's writer */
	GW_INJECT_RING = 512, /* frames that the kernel has sent */
};

enum gw_port_state {
	GW_PORT_FREE = 0,
	GW_PORT_STARTING, /* claimed, not yet on an lcore */
	GW_PORT_RUNNING,
	GW_PORT_LOST, /* its device vanished: polled no more, waits for removal */
};

/* What the data path reads is in the first cache line. */
struct gw_worker_port {
	uint16_t id; /* DPDK's */
	uint16_t interface; /* slot of its TAP, GW_NO_INTERFACE before the mirror knows it */
	uint8_t state; /* enum gw_port_state */
	uint8_t up; /* admin state of the TAP: down drops both ways */
	uint8_t polling; /* enum gw_polling */
	uint8_t rx_interrupts; /* the driver has them */
	uint16_t tx_queues; /* fewer than lcores: tx_lock, queue 0 */
	uint16_t max_frame; /* longest frame that it can send, bytes without FCS */
	struct rte_ether_addr mac;
	uint16_t lcore; /* index of the lcore that polls it */
	uint32_t ifindex; /* of the TAP */
	struct rte_ring *to_kernel; /* single or many lcores to the exception thread */
	struct rte_ring *from_kernel; /* exception thread to the port's lcore */
	rte_spinlock_t tx_lock;

	/* control */
	char name[GW_WORKER_NAME] __rte_cache_aligned;
	char tap[GW_WORKER_NAME];
	char device[GW_WORKER_TEXT];
	char problem[GW_WORKER_TEXT];
	int tap_fd;
	uint8_t probed; /* ours to close */
	uint8_t link_up; /* carrier that the TAP was told */
	uint16_t mtu; /* that the device has */
	uint64_t punted, injected; /* the exception thread's */
};

extern struct gw_worker_port gw_ports[GW_WORKER_PORTS];

/* The calls of gw_worker.h that concern ports are in port.c; the mirror calls these. */

/* The TAP's state in the kernel changed: the device follows; what it cannot is its `problem`. */
void gw_port_follow(struct gw_worker_port *port, int up, uint32_t mtu,
		    const struct rte_ether_addr *mac, int promiscuous);

/* Carrier of the devices to the TAPs, vanished devices; called every second by the control thread. */
void gw_ports_watch(void);

/* The port whose TAP has that ifindex, or NULL. */
struct gw_worker_port *gw_port_by_ifindex(uint32_t ifindex);

#endif
