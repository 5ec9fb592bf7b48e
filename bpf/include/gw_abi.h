/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The types that the BPF programs and the agent share, written once.
 *
 * CFFI reads this file with nothing but the guard and include lines stripped, so: fixed-width
 * types, padding spelled out and zeroed, enums for constants, no bit-fields, attributes or macros.
 * Addresses, ports and MAC addresses are in network byte order, everything else in host order.
 * Raise GW_ABI_VERSION with every change of a layout or of a map: pins outlive upgrades. Sessions
 * are carried over by the names of the fields that the pinned maps' BTF has, so a field that
 * changes its meaning changes its name.
 */
#ifndef GW_ABI_H
#define GW_ABI_H
#include <linux/types.h>

enum gw_abi {
	GW_ABI_VERSION = 3,
};

enum gw_limit {
	GW_DEVICES_MAX = 1024, /* slots of gw_devices; a device sits in slot ifindex % 1024 */
	GW_PORTS_MAX = 64, /* XDP ports, that is counter rows and redirect targets */
	GW_POOL_MAX = 16, /* outside addresses of the pool */
	GW_FDB_MAX = 131072, /* stations of the bridges that XDP knows */
	GW_TUNNELS_MAX = 8192, /* VTEPs, counted once for each VNI that leads there */
	GW_VNIS_MAX = 4096, /* VNIs, counted once for each local address that they have */
	GW_VTEPS_MAX = 16384, /* VTEPs that may send, counted once for each VNI */
	GW_FLOODS_MAX = 1024, /* VNIs with a flood set */
	GW_FLOOD_TUNNELS = 62, /* of one flood set; a longer one is the kernel's alone */
	GW_STATICS_MAX = 16384, /* prefixes that the static mappings come to, each way */
	GW_BACKENDS_MAX = 8, /* of one load-shared port forward */
	GW_ADDRESSES_MAX = 4096, /* outside addresses, of the pool and 1:1 */
	GW_PREFIXES_MAX = 1024, /* inside prefixes that the guard knows */
	GW_HOSTS_MAX = 65536, /* inside hosts that hold sessions at one time */
	GW_SLOTS_PER_ADDRESS = 196608, /* 65536 ports for each of the three gw_nat_protocol */
	GW_BATCH_MAX = 512, /* records of gw_saved_batch and gw_picks */
	GW_LOG_BYTES = 1048576, /* of the ring gw_log */
};

/* What a device is for. A bridge port carries its bridge's INSIDE flag. */
enum gw_device_flag {
	GW_DEV_PORT = 1, /* our XDP program is attached */
	GW_DEV_INSIDE = 2,
	GW_DEV_OUTSIDE = 4,
	GW_DEV_BRIDGE = 8,
	GW_DEV_BRIDGED = 16, /* a port whose bridge XDP bridges for: it forwards, no restrictions */
	GW_DEV_UNDERLAY = 32, /* a port of its own at which VXLAN may arrive */
	GW_DEV_TUNNEL = 64, /* a VXLAN device, a port of the bridge l3_ifindex */
	GW_DEV_WORKER = 128, /* a TAP of the DPDK worker's */
};

/* gw_devices, written by the agent. */
struct gw_device {
	__u32 ifindex; /* 0: the slot is free */
	__u32 flags; /* enum gw_device_flag */
	__u32 l3_ifindex; /* the device that has the addresses: the bridge of a port, or itself */
	__u32 row; /* of a port: its row in gw_counters and gw_tx */
	__u32 address; /* of the L3 device, to answer inside senders from; 0: it has none */
	__u8 mac[6]; /* of the L3 device; only frames to it are routed */
	__u16 vlan; /* of untagged frames where the bridge filters VLANs, 0: it does not */
	__u8 pad[4];
};

enum gw_filtering {
	GW_FILTER_ENDPOINT_INDEPENDENT = 0,
	GW_FILTER_ADDRESS_DEPENDENT = 1,
	GW_FILTER_ADDRESS_AND_PORT_DEPENDENT = 2,
};

/* What the outside ports of one address are numbered by. */
enum gw_nat_protocol {
	GW_NAT_TCP = 0,
	GW_NAT_UDP = 1,
	GW_NAT_ICMP = 2,
	GW_NAT_PROTOCOLS = 3,
};

/* How long a session without an outbound packet lives, by what it is. */
enum gw_timer_class {
	GW_TIMER_UDP = 0,
	GW_TIMER_ICMP = 1,
	GW_TIMER_TCP_TRANSITORY = 2,
	GW_TIMER_TCP_ESTABLISHED = 3,
	GW_TIMERS = 4,
};

/* What the data path reports to gw_log. */
enum gw_log_what {
	GW_LOG_SESSIONS = 1,
	GW_LOG_MAPPINGS = 2,
};

enum gw_vxlan_flag {
	GW_VXLAN_ON = 1, /* 0: VXLAN and bridging are the kernel's (kernel mode) */
	GW_VXLAN_ANY_PATH = 2, /* the underlay's path hangs on ports: no next hop is remembered */
};

/* gw_settings, one record, written by the agent. */
struct gw_settings {
	__u32 abi_version; /* first in every version: says how to read the pinned maps */
	__u32 enabled; /* 0: every frame goes to the kernel (kernel mode) */
	__u64 timeouts[4]; /* ns, by enum gw_timer_class */
	__u64 port_rest; /* ns that a freed outside port is not given out again */
	__u32 filtering; /* enum gw_filtering */
	__u32 sessions; /* size of gw_records */
	__u32 pool_size; /* addresses in use, 0: no outside address is known */
	__u32 pool[16];
	__u32 port_low; /* host order, inclusive */
	__u32 port_high;
	__u32 host_sessions; /* at most so many sessions for one inside host */
	__u32 host_ports; /* and so many outside ports */
	__u32 bucket_mask; /* buckets of gw_sessions, a power of two, minus 1 */
	__u32 endpoint_mask; /* of gw_endpoints and gw_permits likewise */
	__u32 mss; /* the largest that a SYN may announce (bytes), 0: whatever it says */
	__u32 log; /* enum gw_log_what */
	__u32 vxlan; /* enum gw_vxlan_flag */
	__u16 vxlan_ports[4]; /* UDP ports of the VXLAN devices, network order, 0: none */
	__u64 seed; /* random; the places in gw_sessions follow from it, so it lives with the pins */
};

/* The addresses and ports of a packet; for an ICMP query `sport` or `dport` is the identifier. */
struct gw_tuple {
	__u32 saddr;
	__u32 daddr;
	__u16 sport;
	__u16 dport;
};

enum gw_side {
	GW_SIDE_INSIDE = 0,
	GW_SIDE_OUTSIDE = 1,
};

/* What a packet of a session looks like when it arrives. */
struct gw_session_key {
	struct gw_tuple tuple;
	__u8 protocol; /* IPPROTO_* */
	__u8 side; /* enum gw_side: inside and outside addresses may overlap (RFC 4787 REQ-6) */
	__u8 pad[2];
};

enum gw_bucket_size {
	GW_BUCKET_ENTRIES = 7,
};

/* gw_sessions, gw_endpoints and gw_permits: one cache line of entries, each a part of a key's hash
 * and a reference. Of a session: its index in gw_records with the direction in the top bit; of an
 * inside endpoint: its slot in gw_mappings; of a permit: see bpf/src/permits.h. */
struct gw_bucket {
	__u32 lock;
	__u32 tags[7];
	__u32 refs[7];
	__u32 pad;
};

enum gw_direction {
	GW_FORWARD_DIRECTION = 0, /* as the first packet went */
	GW_REVERSE_DIRECTION = 1,
};

enum gw_tcp_state {
	GW_TCP_NONE = 0, /* not TCP */
	GW_TCP_OPENING = 1, /* SYN seen one way */
	GW_TCP_SYN_BOTH = 2, /* SYN seen both ways */
	GW_TCP_ESTABLISHED = 3,
	GW_TCP_CLOSING = 4, /* FIN both ways, or RST */
};

enum gw_session_flag {
	GW_SESSION_INBOUND = 1, /* opened from outside */
	GW_SESSION_HAIRPIN = 2, /* both ends are inside */
	GW_SESSION_STATIC = 4, /* a port forward or 1:1: holds no outside port */
	GW_SESSION_PERMIT = 8, /* holds a reference in gw_permits */
};

/* What a record is in the middle of; with the generation above it, see `claim`. */
enum gw_claim {
	GW_CLAIM_FREE = 0,
	GW_CLAIM_LIVE = 1,
	GW_CLAIM_BUSY = 2, /* being opened or ended, by whoever made it so */
	GW_CLAIM_MASK = 3,
	GW_CLAIM_GENERATION = 4, /* added at each new use of the record */
};

struct gw_traffic {
	__u64 packets;
	__u64 bytes; /* of IPv4 */
};

/* One session. `arrives` and `leaves` are the first packet before and after. */
struct gw_session {
	__u64 deadline; /* CLOCK_MONOTONIC ns; passed: the session is dead, swept or not */
	__u32 claim; /* generation and enum gw_claim, changed by compare-and-swap only */
	__u8 protocol;
	__u8 flags; /* enum gw_session_flag */
	__u8 tcp_state; /* enum gw_tcp_state */
	__u8 fins; /* bit 0: FIN seen in the forward direction, bit 1: in the reverse */
	struct gw_tuple arrives;
	struct gw_tuple leaves;
	__u16 l3_delta; /* one's complement change of the IPv4 checksum, forward direction */
	__u16 l4_delta; /* and of the transport checksum */
	__u32 slot; /* of the mapping in gw_mappings, GW_NO_SLOT when it holds none */
	struct gw_traffic traffic[2]; /* by enum gw_direction */
	__u32 peer; /* hairpin: the slot of the answering side, otherwise GW_NO_SLOT */
	__u32 created; /* CLOCK_MONOTONIC s, modulo 2^32: a carried session may be older than that */
};

/* gw_records: two cache lines, of which packets in the forward direction need the first alone. */
struct gw_record {
	struct gw_session session;
	__u64 pad[5];
};

enum gw_no_slot {
	GW_NO_SLOT = 0x7fffffff,
};

/* gw_mappings, indexed by slot: (pool index * 3 + enum gw_nat_protocol) * 65536 + outside port. */
struct gw_mapping {
	__u32 inside_address; /* valid while users > 0 */
	__u16 inside_port;
	__u16 pad;
	__u32 users; /* sessions that hold it; raised from 0 only by the one that claims it */
	__u32 released; /* CLOCK_MONOTONIC s of the last release, 0: never used */
};

/* An inside or outside endpoint. */
struct gw_endpoint {
	__u32 address;
	__u16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad;
};

/* gw_hosts value: what an inside host holds. */
struct gw_host {
	__u32 users; /* its sessions; 0: about to go away */
	__u32 ports; /* its mappings */
	__u32 pool; /* 1 + index of the pool address that it keeps (RFC 4787 REQ-2), 0: none yet */
	__u32 pad;
};

/*
 * Key of the tries gw_static_in (outside endpoint to inside) and gw_static_out (the way back). A
 * range of ports is as many prefixes of the port as it takes.
 */
enum gw_static_length {
	GW_STATIC_ADDRESS = 32, /* 1:1, every protocol and port */
	GW_STATIC_LATER = 48, /* later fragments of an identity, which have no port */
	GW_STATIC_PORT = 64, /* one port */
};

struct gw_static_key {
	__u32 length; /* bits that count, of what follows */
	__u32 address;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad; /* 0, or GW_STATIC_LATER_PAD, which no packet with a port meets */
	__u16 port;
};

enum gw_static_pad {
	GW_STATIC_LATER_PAD = 1,
};

enum gw_static_flag {
	GW_STATIC_HOST = 1, /* an identity mapping of the gateway's own address: the kernel's */
};

struct gw_backend {
	__u32 address;
	__u16 shift; /* added to the port, in host order */
	__u16 share; /* chosen for hashes up to this one, of 0 to 65535; the last has 65535 */
};

/* Value of both tries. */
struct gw_static {
	__u32 flags; /* enum gw_static_flag */
	__u32 count; /* of backends, from 1 */
	struct gw_backend backends[8];
};

/* gw_fdb: what the agent mirrors of the kernel's bridges and VXLAN devices. */
struct gw_fdb_key {
	__u32 bridge; /* ifindex */
	__u8 mac[6];
	__u16 vlan; /* where the bridge filters VLANs, otherwise 0 */
};

struct gw_fdb_entry {
	__u32 port; /* ifindex of the bridge port, the VXLAN device perhaps */
	__u32 used; /* CLOCK_MONOTONIC s: XDP's NAT sent to it, which the kernel does not see */
	__u32 seen; /* CLOCK_MONOTONIC s: it sent by XDP's bridge, which the kernel does not see */
	__u32 tunnel; /* 1 + index in gw_tunnels, 0: it is not behind a tunnel, or the kernel's */
	__u32 moved; /* CLOCK_MONOTONIC s: it sent from elsewhere, which the agent has yet to say */
	__u32 pad;
};

/* A VTEP's address: IPv6, or IPv4 with twelve zeros after it. */
struct gw_vtep_address {
	__u8 bytes[16];
};

/* gw_vnis: what arrives at one of our addresses. Port and family 0 with an ifindex for the address:
 * the VLAN of a VNI that a VXLAN device sends. */
struct gw_vni_key {
	__u32 vni; /* host order, or GW_VNI_OTHER */
	__u16 port; /* UDP, network order */
	__u8 family; /* 4 or 6 */
	__u8 pad;
	struct gw_vtep_address local;
};

enum gw_vni_other {
	GW_VNI_OTHER = 0x1000000, /* there for each address and port that has VNIs at all */
};

enum gw_vni_flag {
	GW_VNI_KERNEL = 1, /* of a device that XDP has no part in */
	GW_VNI_LEARNS = 2, /* the device or its bridge port learns from what arrives */
	GW_VNI_ANY_SOURCE = 4, /* whoever sends is believed */
};

struct gw_vni {
	__u32 ifindex; /* of the VXLAN device */
	__u32 bridge; /* ifindex */
	__u16 vlan; /* of the bridge, 0: it does not filter */
	__u16 flags; /* enum gw_vni_flag */
	__u32 pad;
};

/* gw_vteps: who may send to a VNI. */
struct gw_vtep_key {
	__u32 ifindex; /* of the VXLAN device */
	__u32 vni; /* host order */
	struct gw_vtep_address address;
};

struct gw_vtep {
	__u32 tunnel; /* 1 + index of the way back in gw_tunnels, 0: there is none */
};

enum gw_tunnel_flag {
	GW_TUNNEL_IPV6 = 1,
	GW_TUNNEL_DF = 2, /* IPv4: never to be cut */
	GW_TUNNEL_DF_INHERIT = 4, /* as the inner IPv4 packet says; IPv6 always says so */
	GW_TUNNEL_TOS_INHERIT = 8, /* DSCP of the inner packet; ECN always is (RFC 6040) */
	GW_TUNNEL_TTL_INHERIT = 16,
	GW_TUNNEL_CHECKSUM = 32, /* a real UDP checksum, otherwise zero */
	GW_TUNNEL_FRAGMENT = 64, /* what does not fit the underlay is cut */
};

/* gw_tunnels: how to reach one VTEP for one VNI. */
struct gw_tunnel {
	__u32 ifindex; /* of the VXLAN device; 0: the entry is free */
	__u32 flags; /* enum gw_tunnel_flag */
	__u32 generation; /* another one each time that the entry is written */
	__u32 vni; /* host order */
	struct gw_vtep_address local;
	struct gw_vtep_address remote;
	__u32 label; /* IPv6 flow label, network order */
	__u16 port; /* UDP destination, network order */
	__u16 port_low; /* UDP source ports, host order, inclusive */
	__u16 port_high;
	__u16 mtu; /* of the VXLAN device: the largest inner packet (bytes) */
	__u8 ttl;
	__u8 tos;
	__u8 pad[2];
};

/* gw_floods: to whom a VXLAN device sends what it has no entry for. */
struct gw_flood_key {
	__u32 ifindex; /* of the VXLAN device */
	__u32 vlan; /* of the bridge, 0: it does not filter */
};

struct gw_flood {
	__u32 count; /* of tunnels; more than GW_FLOOD_TUNNELS: none is listed */
	__u32 pad;
	__u32 tunnels[62]; /* 1 + index in gw_tunnels */
};

/* Key of the gw_inside trie. */
struct gw_prefix {
	__u32 length;
	__u32 address;
};

/* What XDP leaves in front of a frame that was translated but could not be sent: see gw_guard. */
struct gw_handover {
	__u32 magic; /* enum gw_handover_magic */
	__u32 ifindex; /* L3 device to send it from */
	__u32 mtu; /* not 0: cut it into fragments of at most so many bytes */
	__u32 serial; /* of a frame to be cut or followed: random, for GRO merges what agrees in this */
	__u32 flow; /* 1 + index of the fragmented packet whose kept fragments follow, 0: none */
	__u32 flags; /* enum gw_handover_flag */
};

enum gw_handover_flag {
	GW_HANDOVER_TUNNELLED = 1, /* an outer packet, with the next hop's MAC address already */
};

enum gw_handover_magic {
	GW_HANDOVER_MAGIC = 0x67774e32,
};

/* gw_status, one record: written by the data path, read by the agent. */
struct gw_status {
	__u32 fresh; /* records below this were used at least once */
	__u32 cursor; /* next record of the expiry scan */
	__u64 scans; /* whole scans since load */
	__u64 expired; /* sessions removed by the scan */
};

enum gw_sweeper {
	GW_SWEEPER_TIMER = 0, /* the kernel timer's own scan */
	GW_SWEEPER_AGENT = 1, /* gw_sweep_slice, run by the agent */
	GW_SWEEPERS = 2,
};

enum gw_sweep_what {
	GW_SWEEP_EXPIRED = 0,
	GW_SWEEP_ALL = 1, /* live sessions too */
	GW_SWEEP_ORPHANS = 2, /* live sessions too, if their outside address is not ours any more */
};

/* gw_sweeps, by enum gw_sweeper: one slice of the records and what came of it. */
struct gw_sweep {
	__u64 now; /* CLOCK_MONOTONIC ns */
	__u32 from; /* first record */
	__u32 count; /* records to look at */
	__u32 what; /* to remove: enum gw_sweep_what */
	__u32 looked;
	__u32 removed;
	__u32 pad;
};

/*
 * A session without its place: how sessions go from map to map, to disk and back. The layout is
 * part of the file format; gw_session's is not.
 */
enum gw_saved_hold {
	GW_SAVED_MAPPING = 1, /* it holds the mapping of its inside endpoint */
	GW_SAVED_PEER = 2, /* hairpin: and that of the endpoint it calls */
	GW_SAVED_PERMIT = 4,
};

enum gw_saved_result {
	GW_SAVED_NEW = 0, /* not imported yet */
	GW_SAVED_DONE = 1,
	GW_SAVED_MERGED = 2, /* it was there already; the later deadline counts */
	GW_SAVED_FULL = 3, /* no room */
	GW_SAVED_CONFLICT = 4, /* its outside port or its flow is somebody else's by now */
	GW_SAVED_GONE = 5, /* its outside address is not ours any more, or it has expired */
};

struct gw_saved {
	struct gw_traffic traffic[2]; /* by enum gw_direction */
	__u64 left; /* ns until it expires */
	struct gw_tuple arrives;
	struct gw_tuple leaves;
	__u32 age; /* s */
	__u8 protocol;
	__u8 flags; /* enum gw_session_flag */
	__u8 tcp_state; /* enum gw_tcp_state */
	__u8 fins;
	__u32 holds; /* enum gw_saved_hold */
	__u32 result; /* enum gw_saved_result, written by gw_import */
};

/* gw_picks: a session that the agent wants ended, as it was when the agent looked. */
struct gw_pick {
	__u32 index;
	__u32 claim;
};

/* gw_batch, one record: how many of gw_saved_batch or gw_picks count, and how many were done. */
struct gw_batch {
	__u32 count;
	__u32 done;
};

enum gw_log_kind {
	GW_LOG_SESSION_OPENED = 1,
	GW_LOG_SESSION_CLOSED = 2,
	GW_LOG_MAPPING_OPENED = 3,
	GW_LOG_MAPPING_CLOSED = 4,
};

/* One record of the ring gw_log (RFC 6888 REQ-12). A mapping has no remote. */
struct gw_log_event {
	__u64 time; /* CLOCK_MONOTONIC ns */
	struct gw_traffic traffic[2]; /* of a closed session: 0 outwards, 1 inwards */
	struct gw_endpoint inside;
	struct gw_endpoint outside;
	struct gw_endpoint remote;
	__u8 kind; /* enum gw_log_kind */
	__u8 flags; /* enum gw_session_flag */
	__u8 pad[6];
};

/*
 * What happened to a frame, counted per port. Every frame counts once among FORWARD, REPLY,
 * PUNT_* and DROP_*; the rest are events that come on top.
 */
enum gw_counter {
	GW_FORWARD = 0, /* translated and sent by XDP */
	GW_REPLY, /* answered by XDP with an ICMP error */
	GW_BRIDGE, /* bridged by XDP to a port or a VTEP */
	GW_PUNT_KERNEL_MODE, /* the port has no role: everything is the kernel's */
	GW_PUNT_NOT_IPV4, /* ARP, IPv6 and others */
	GW_PUNT_VLAN, /* tagged */
	GW_PUNT_OTHER_MAC, /* bridged, broadcast, multicast */
	GW_PUNT_HOST, /* to the gateway itself */
	GW_PUNT_NOT_NAT, /* forwarded between devices that NAT does not stand between */
	GW_PUNT_SOURCE, /* a source address that does not belong behind this port */
	GW_PUNT_OPTIONS, /* IPv4 options */
	GW_PUNT_FRAGMENT, /* fragment of a packet whose first one was not seen or is the kernel's */
	GW_PUNT_PROTOCOL, /* neither TCP, UDP nor ICMP */
	GW_PUNT_ICMP, /* neither echo nor an error about a session of ours */
	GW_PUNT_TTL, /* expired: the kernel answers */
	GW_PUNT_TOO_BIG, /* does not fit the next link: the kernel answers */
	GW_PUNT_NO_SESSION, /* TCP in the middle of a connection of conntrack's */
	GW_PUNT_NO_ROUTE, /* unreachable, prohibited, blackhole: the kernel answers */
	GW_PUNT_NO_NEIGHBOUR, /* translated, handed over: next hop unresolved */
	GW_PUNT_FDB_MISS, /* translated, handed over: station unknown to the bridge mirror */
	GW_PUNT_NOT_A_PORT, /* translated, handed over: the way out is no XDP port */
	GW_PUNT_CUT, /* translated, handed over: to be fragmented for the next link */
	GW_PUNT_REPLAY, /* translated, handed over: fragments that came before it follow it */
	GW_PUNT_TUNNEL_CUT, /* encapsulated, handed over: to be fragmented for the underlay */
	GW_PUNT_FLOOD, /* bridged: broadcast, multicast or to a station that nobody knows */
	GW_PUNT_LEARN, /* bridged: from or to a station that is not known to be there */
	GW_PUNT_RESOLUTION, /* bridged: ARP or neighbour discovery, which the bridge may answer */
	GW_PUNT_BRIDGE_PORT, /* bridged: by a port that XDP does not bridge to */
	GW_PUNT_UNDERLAY, /* bridged: the way to the VTEP is not known, or no XDP port's */
	GW_PUNT_VXLAN, /* VXLAN that the kernel takes: a VNI of its own, IP options */
	GW_PUNT_NO_POOL, /* no outside address is known (yet) */
	GW_DROP_MALFORMED, /* header fields contradict each other or the frame */
	GW_DROP_TRUNCATED, /* the frame ends before its headers do */
	GW_DROP_CHECKSUM, /* of the IPv4 header, of an ICMP error or what it quotes, of VXLAN's UDP */
	GW_DROP_SOURCE, /* from outside with a source address of ours or of inside */
	GW_DROP_NO_MAPPING, /* from outside to a NAT port that nobody holds */
	GW_DROP_FILTERED, /* from outside, refused by the filtering behaviour */
	GW_DROP_NO_SESSION, /* from outside, TCP in the middle of a connection nobody knows */
	GW_DROP_NO_PORT, /* outside ports exhausted */
	GW_DROP_TABLE_FULL, /* sessions exhausted */
	GW_DROP_HOST_LIMIT, /* the inside host's share is exhausted */
	GW_DROP_RACE, /* another session was just opened or ended with the same addresses */
	GW_DROP_TTL, /* expired and not answerable */
	GW_DROP_TOO_BIG, /* does not fit the next link, may not be cut and is not answerable */
	GW_DROP_NO_ROUTE, /* from outside, no way to the inside host */
	GW_DROP_ICMP, /* an ICMP error that contradicts itself */
	GW_DROP_VXLAN, /* VXLAN without a VNI, or without a whole inner frame */
	GW_DROP_VNI, /* VXLAN to one of our VTEP addresses with a VNI that nobody has */
	GW_DROP_VTEP, /* VXLAN from a sender that is not a VTEP of its VNI */
	GW_DROP_INNER, /* VXLAN around a frame that no bridge may pass on */
	GW_DROP_SPLIT_HORIZON, /* VXLAN to a station behind the same VXLAN device */
	GW_DROP_ECN, /* VXLAN that met congestion around a packet that cannot say so (RFC 6040) */
	GW_DROP_GUARD, /* TC egress: an inside source address on its way out */
	GW_DROP_HANDOVER, /* TC ingress: the kernel could not take a handed-over frame */
	GW_VERDICTS,
	GW_HANDED_OVER = GW_VERDICTS, /* TC ingress: frames sent for XDP (each was a PUNT above) */
	GW_NAT_NEW_MAPPING,
	GW_NAT_NEW_SESSION,
	GW_NAT_CLOSED_SESSION,
	GW_NAT_EXPIRED_SESSION, /* found expired by a packet, before the scan came */
	GW_NAT_ICMP_ERROR, /* an ICMP error was translated */
	GW_NAT_REFUSAL, /* a sender inside was told that there is no room (ICMP 3/13) */
	GW_NAT_MSS_CLAMPED, /* a SYN announced more than nat44.mss-clamp */
	GW_FRAGMENT_KEPT, /* came before its first fragment: a copy is kept for a while */
	GW_FRAGMENT_NOT_KEPT, /* likewise, but its sender has as many kept as it may */
	GW_FRAGMENT_REPLAYED, /* TC ingress: a kept one was sent after its first fragment */
	GW_VXLAN_DECAP, /* a frame was taken out of VXLAN */
	GW_VXLAN_ENCAP, /* a frame was put into VXLAN */
	GW_VXLAN_CUT, /* TC: an outer packet was cut */
	GW_LOG_LOST, /* an event for the log that the ring had no room for */
	GW_COUNTERS,
};

/* gw_counters, a per-CPU array by gw_device.row. */
struct gw_port_counters {
	__u64 count[69]; /* by enum gw_counter: GW_COUNTERS of them */
};
#endif
