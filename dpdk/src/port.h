/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ethernet devices of DPDK, each with its TAP in the kernel. Indexed by DPDK's port id. */
#ifndef GW_PORT_H
#define GW_PORT_H

#include <pthread.h>

#include <rte_ethdev.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "counters.h"
#include "gw_worker.h"

enum gw_port_limits {
	GW_RX_DESCRIPTORS = 512,
	GW_TX_DESCRIPTORS = 512,
	GW_PUNT_RING = 1024, /* frames that wait for the TAP's writer */
	GW_INJECT_RING = 512, /* frames that the kernel has sent */
	GW_RX_BURST = 128, /* frames of one port before the next has its turn */
	GW_INJECT_BURST = 32, /* of each port, a walk */
};

enum gw_port_state {
	GW_PORT_FREE = 0,
	GW_PORT_STARTING, /* claimed, not yet on an lcore */
	GW_PORT_WAITING, /* for somebody at its other end; on no lcore meanwhile */
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
	uint8_t unlinked; /* looks in a row at a client's link that was down */
	uint8_t promiscuous; /* the kernel wants it */
	uint8_t hears_all; /* promiscuous for good: it cannot do less and get what it must */
	uint8_t removed; /* its bus says so */
	uint16_t rx_descriptors, tx_descriptors; /* wanted */
	uint32_t mbufs; /* that it may hold, of the pool */
	uint16_t mtu; /* that the device has */
	uint32_t netdev; /* ifindex of the kernel's device below it (af_packet, af_xdp), or 0 */
	int wait_fd; /* socket on that netdev, readable when frames wait, or -1 */

	/* the exception thread's, after it is attached */
	uint32_t tap_mtu; /* frames to read are that long; the mirror writes it */
	uint8_t tap_stalled; /* not read: there is no room for more frames */
	uint8_t tap_gone; /* somebody deleted it */
	uint64_t punted, injected;
	uint64_t punts[GW_COUNTER_COUNT]; /* those that were punted, by their reason */
	uint64_t tap_refused, cut_off; /* frames: DROP_TAP, DROP_TX_TOO_LONG */
};

extern struct gw_worker_port gw_ports[GW_WORKER_PORTS];

/* The calls of gw_worker.h that concern ports are in port.c; the mirror calls these. */

/*
 * The TAP's state in the kernel changed: the device follows; what it cannot is its `problem`.
 * With gw_control held, as the next one.
 */
void gw_port_follow(struct gw_worker_port *port, int up, uint32_t mtu,
		    const struct rte_ether_addr *mac, int promiscuous);

/*
 * Carrier of the devices to the TAPs, and vanished devices. Called every second by the mirror's
 * thread, and better at once when a device below a port changes.
 */
void gw_ports_watch(void);

/* The same of one port. */
void gw_port_watch(struct gw_worker_port *port);

/* With the configuration that its new MTU needs; a port that does not come back is LOST. */
int gw_port_restart(struct gw_worker_port *port);

/* Its device is gone: it is polled no more, and waits to be removed. */
void gw_port_lose(struct gw_worker_port *port);

/* A client of a server that is not there: waits for it, or has found it. */
void gw_port_wait(struct gw_worker_port *port);
int gw_port_connect(struct gw_worker_port *port);

/* What the TAP's MTU asks for, as far as the device goes; else it is a problem. */
uint16_t gw_port_choose_mtu(struct gw_worker_port *port);

/* The port whose TAP has that ifindex, or NULL. */
struct gw_worker_port *gw_port_by_ifindex(uint32_t ifindex);

#endif
