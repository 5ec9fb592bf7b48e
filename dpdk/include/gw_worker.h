/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls that Python may make of the DPDK worker. CFFI reads this file with nothing but its
 * guard and include lines stripped.
 *
 * Every function that can fail returns 0 or more, or -errno; gw_worker_error() then has the
 * sentence that goes with it, of the same thread. No function calls back into Python. All of
 * them may be called from any thread; they take the worker's control lock.
 */
#ifndef GW_WORKER_H
#define GW_WORKER_H

#include <stdint.h>

enum gw_worker_limits {
	GW_WORKER_PORTS = 32, /* as RTE_MAX_ETHPORTS */
	GW_WORKER_NAME = 16, /* IFNAMSIZ: of a port and of its TAP */
	GW_WORKER_TEXT = 256, /* a vdev string, a reason */
	GW_WORKER_LCORES = 16,
};

enum gw_polling {
	GW_POLLING_ADAPTIVE = 0, /* polls while there is traffic, then sleeps */
	GW_POLLING_BUSY = 1, /* never sleeps */
	GW_POLLING_INTERRUPT = 2, /* sleeps until the receive interrupt; refused without one */
};

struct gw_worker;
struct gw_worker_port;

/* What the whole process runs with; EAL can be started once in a process. */
struct gw_worker_options {
	uint16_t cores[GW_WORKER_LCORES]; /* CPU of each data lcore, in their order */
	uint32_t core_count; /* 1 or more */
	uint32_t memory_mb; /* hugepages that EAL may take, MB */
	uint32_t mbufs; /* frames, of all ports together; 0: the default */
	uint32_t routes4; /* room for so many IPv4 routes; 0: the default */
	uint32_t routes6;
	uint32_t tbl8_6; /* groups of rte_fib6's last levels; 0: by routes6 */
	uint32_t neighbours; /* of each family; 0: the default */
	uint32_t stations; /* FDB entries; 0: the default */
	uint32_t tunnels; /* VTEPs of all VXLAN segments together; 0: no VXLAN */
	uint32_t flags; /* enum gw_worker_flags */
};

enum gw_worker_flags {
	GW_WORKER_NO_HUGE = 1, /* tests only: plain memory instead of hugepages */
	GW_WORKER_NO_PCI = 2, /* does not look at the PCI bus */
	GW_WORKER_IOVA_PA = 4, /* physical addresses: uio_pci_generic, or virtio behind a vIOMMU */
};

struct gw_port_options {
	char name[GW_WORKER_NAME]; /* of the port in the configuration */
	char tap[GW_WORKER_NAME]; /* an existing persistent TAP, which the port takes over */
	char device[GW_WORKER_TEXT]; /* PCI address, or a vdev string as EAL has it */
	uint32_t polling; /* enum gw_polling */
	uint16_t lcore; /* index into cores; GW_ANY_LCORE: the one with fewest ports */
	uint16_t rx_descriptors; /* 0: the default */
	uint16_t tx_descriptors;
	uint16_t pad;
};

enum gw_port_choice { GW_ANY_LCORE = 0xffff };

struct gw_port_status {
	char name[GW_WORKER_NAME];
	char tap[GW_WORKER_NAME];
	char driver[64]; /* of DPDK: net_af_packet, net_e1000_igb, ... */
	char device[GW_WORKER_TEXT];
	char problem[GW_WORKER_TEXT]; /* empty, or what is wrong with the port now */
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t ifindex; /* of the TAP */
	uint32_t speed; /* Mb/s; 0: not known */
	uint8_t link_up; /* carrier */
	uint8_t admin_up;
	uint8_t polling; /* enum gw_polling */
	uint8_t rx_interrupts; /* whether the driver has them */
	uint8_t sleeping; /* whether its lcore sleeps at the moment */
	uint8_t pad[3];
	uint32_t lcore; /* CPU */
	uint64_t rx_packets, rx_bytes, rx_missed, rx_errors, rx_no_buffer;
	uint64_t tx_packets, tx_bytes, tx_errors;
	uint64_t to_kernel, from_kernel; /* frames that went over the TAP */
};

struct gw_node_figures {
	char name[32];
	uint64_t calls, packets, cycles;
	uint32_t edges[16]; /* ids of the next nodes, as in this list */
	uint32_t edge_count;
	uint32_t pad;
};

struct gw_memory_status {
	uint64_t hugepages_bytes; /* that EAL has got */
	uint64_t heap_bytes, heap_free_bytes;
	uint32_t mbufs, mbufs_free;
	uint64_t minimum_bytes; /* what this configuration needs at least */
};

struct gw_mirror_status {
	uint32_t routes4, routes6, routes4_max, routes6_max;
	uint32_t nexthops, nexthops_max, groups;
	uint32_t neighbours4, neighbours6, neighbours_max;
	uint32_t stations, stations_max;
	uint32_t tunnels, tunnels_max; /* VXLAN: VTEPs, by segment */
	uint32_t bindings; /* of MAC to IP addresses, in bridges */
	uint32_t interfaces;
	uint32_t resyncs; /* dumps after lost events */
	uint64_t events;
	uint8_t synchronised; /* the first dump is done and nothing waits */
	uint8_t punting4, punting6; /* 1: the whole family goes to the kernel, `problem` says why */
	uint8_t pad[5];
	char problem[GW_WORKER_TEXT];
};

enum gw_segment_option {
	GW_SEGMENT_OPTION_ANY_SOURCE = 1, /* every sender is believed */
	GW_SEGMENT_OPTION_LISTED = 2, /* only those of `sources` are */
	GW_SEGMENT_OPTION_FRAGMENT = 4, /* what does not fit the underlay is cut */
	GW_SEGMENT_OPTION_LEARNS = 8, /* the device or its bridge port learns from what arrives */
	GW_SEGMENT_OPTION_CHECKSUM = 16, /* a real UDP checksum */
	GW_SEGMENT_OPTION_TTL_INHERIT = 32,
	GW_SEGMENT_OPTION_TOS_INHERIT = 64,
	GW_SEGMENT_OPTION_DF = 128, /* IPv4 */
	GW_SEGMENT_OPTION_DF_INHERIT = 256,
};

struct gw_worker_address {
	uint8_t bytes[16]; /* IPv4: the first four */
};

/* One VNI of one VXLAN device in a bridge, as the agent has found it. */
struct gw_segment_options {
	uint32_t ifindex; /* of the VXLAN device */
	uint32_t bridge; /* ifindex */
	uint32_t vni; /* 1 to 0xffffff */
	uint32_t flags; /* enum gw_segment_option */
	uint32_t link; /* ifindex of the device that outer packets are bound to; 0: none */
	uint32_t label; /* IPv6 flow label */
	uint32_t first_source, sources; /* of the listed ones: place and number in the whole list */
	uint32_t first_arrival, arrivals; /* addresses of ours at which it is taken, likewise */
	uint16_t port; /* UDP destination, host order */
	uint16_t first_port, last_port; /* UDP source ports */
	uint16_t mtu; /* of the VXLAN device */
	uint8_t family; /* 4 or 6: of `local` and of every VTEP */
	uint8_t ttl, tos;
	uint8_t has_local; /* 0: the source depends on the VTEP, and sending is the kernel's */
	struct gw_worker_address local;
	char heard[GW_WORKER_NAME]; /* TAP by which the bridge hears what is flooded; or empty */
};

struct gw_segment_status {
	uint32_t ifindex, vni;
	uint32_t vteps; /* that may send */
	uint32_t floods; /* VTEPs that get what is flooded */
	uint32_t stations; /* behind VTEPs */
	uint8_t active; /* the device is up, in its bridge, and a port of ours is in there too */
	uint8_t floods_here; /* what is for groups is flooded by the worker */
	uint8_t pad[2];
	char problem[GW_WORKER_TEXT]; /* empty, or why it is the kernel's */
	char flood_problem[GW_WORKER_TEXT]; /* empty, or why the kernel floods although there is a
					     * TAP to hear by */
};

enum gw_way_kind { GW_WAY_PUNT = 0, GW_WAY_DROP = 1, GW_WAY_PORT = 2, GW_WAY_BRIDGE = 3 };

/* What the tables say about an address, for tests and traces. */
struct gw_way {
	uint8_t kind; /* enum gw_way_kind */
	uint8_t reason; /* of GW_WAY_PUNT and GW_WAY_DROP: a counter */
	uint16_t mtu;
	uint32_t ifindex; /* of the device that it leaves by, if it is one of ours */
	uint8_t header[12]; /* destination and source MAC address */
};

enum gw_place_kind {
	GW_PLACE_UNKNOWN = 0, /* not in the table: the kernel floods */
	GW_PLACE_KERNEL = 1,
	GW_PLACE_LOCAL = 2, /* the bridge itself */
	GW_PLACE_PORT = 3,
	GW_PLACE_TUNNEL = 4,
};

/* Where the tables have a station of a bridge, for tests and traces. */
struct gw_place {
	uint8_t kind; /* enum gw_place_kind */
	uint8_t family; /* of the VTEP, 4 or 6; 0: it is behind none */
	uint8_t ages;
	uint8_t by_kernel; /* sending to the VTEP is the kernel's */
	uint8_t may_send; /* the VTEP */
	uint8_t pad;
	uint16_t udp_port; /* of the VTEP */
	uint32_t vni;
	uint32_t ifindex; /* of the port, or of the VXLAN device */
	struct gw_worker_address vtep;
};

/* Python's view of one lcore. */
struct gw_lcore_status {
	uint32_t cpu;
	uint32_t ports;
	uint64_t walks, empty_walks; /* of the graph */
	uint64_t sleeps;
	uint64_t busy_cycles, idle_cycles, hz;
};

/* The sentence of this thread's last failure; never NULL, valid until the thread's next call. */
const char *gw_worker_error(void);

/* Hugepage memory that the options need at least, with `ports` ports; bytes. */
uint64_t gw_worker_minimum(const struct gw_worker_options *options, uint32_t ports);

/*
 * Starts EAL, lcores, graph and the mirror of the network namespace that the thread is in.
 * -EALREADY: this process has started before. -ENOMEM: too few hugepages. -EINVAL: a core that
 * does not exist.
 */
int gw_worker_start(const struct gw_worker_options *options, struct gw_worker **worker);

/* Ports first, then lcores, mirror, EAL. The handle is gone even when this fails. */
int gw_worker_stop(struct gw_worker *worker);

/*
 * Probes the device, opens the TAP, and starts both. -ENODEV: no such device, or no driver takes
 * it; -EBUSY: it is a port already; -EINVAL: EAL refuses the string. Nothing stays after an error.
 */
int gw_port_add(struct gw_worker *worker, const struct gw_port_options *options,
		struct gw_worker_port **port);

/* Stops and closes it; frames in it are dropped. The TAP loses its carrier, and stays. */
int gw_port_remove(struct gw_worker *worker, struct gw_worker_port *port);

int gw_port_read(struct gw_worker *worker, struct gw_worker_port *port,
		 struct gw_port_status *status);

/* Number of counters, and the name of each: a drop's or a punt's reason. */
uint32_t gw_counter_count(void);
const char *gw_counter_name(uint32_t counter);

/* Sums over the lcores of the port that frames came in by; `values` has gw_counter_count(). */
int gw_port_counters(struct gw_worker *worker, struct gw_worker_port *port, uint64_t *values);

/* The nodes of the graph, summed over lcores; returns how many there are. */
int gw_graph_read(struct gw_worker *worker, struct gw_node_figures *nodes, uint32_t capacity);

int gw_memory_read(struct gw_worker *worker, struct gw_memory_status *status);
int gw_mirror_read(struct gw_worker *worker, struct gw_mirror_status *status);
int gw_lcore_read(struct gw_worker *worker, uint32_t index, struct gw_lcore_status *status);

/*
 * The VXLAN segments, all of them, in place of those before; `addresses` are what the options' places
 * refer to. What the kernel has of their FDBs follows by itself. -EINVAL: an option makes no sense;
 * -ENOSPC: too many. After an error those before are in force.
 */
int gw_segments_set(struct gw_worker *worker, const struct gw_segment_options *segments,
		    uint32_t count, const struct gw_worker_address *addresses,
		    uint32_t address_count);
/* In the order that they were given in; returns how many there are. */
int gw_segments_read(struct gw_worker *worker, struct gw_segment_status *segments,
		     uint32_t capacity);

/* Blocks until what the kernel has said before this call is in the tables, or -ETIME. */
int gw_mirror_wait(struct gw_worker *worker, uint32_t milliseconds);

/* Where a packet to the address would go; 4 or 16 bytes. `flow` chooses among several next hops. */
int gw_mirror_explain(struct gw_worker *worker, const uint8_t *address, uint32_t length,
		      uint32_t flow, struct gw_way *way);

/* Where a frame for the MAC address (6 bytes) would go in the bridge. -ENODEV: it is none of ours. */
int gw_mirror_locate(struct gw_worker *worker, uint32_t bridge, const uint8_t *mac,
		     struct gw_place *place);

#endif
