/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include <linux/types.h>

// What the generator program and its loader agree on. Sums are ones' complement sums of 16-bit
// words as they lie in memory, so that neither side has to swap bytes for them.

#define BENCH_FRAME_SIZE 60 // the smallest Ethernet frame, without its checksum
#define BENCH_CORES	 64 // a power of two

// Of the group vxlan. Headers that are put in front of a frame have room in front of it beyond the
// 256 bytes that the kernel itself wants there: otherwise veth copies what the kernel encapsulates.
#define BENCH_HEADROOM	    128
#define BENCH_INNER_HEADERS 64 // of an inner frame: what the generator writes anew
#define BENCH_INNER_MAX	    1514
#define BENCH_VXLAN4_SIZE   50 // Ethernet, IPv4, UDP and VXLAN in front of an inner frame
#define BENCH_VXLAN6_SIZE   70
#define BENCH_TEMPLATE	    136 // the largest of these with an inner frame, in words of eight bytes
#define BENCH_VXLAN_PORT    4789
#define BENCH_SOURCE_PORT   49152 // and those above it: the entropy (RFC 7348 5)

// What a frame is. An inner frame is IPv4 between two stations, whose MAC addresses are
// BENCH_STATION and their IPv4 addresses.
enum bench_form {
	BENCH_INNER = 0,
	BENCH_VXLAN4 = 1, // without a UDP checksum
	BENCH_VXLAN6 = 2, // with one
	BENCH_VXLAN6_CUT = 3, // in two IPv6 fragments; only the sink knows it
};

// The first two bytes of a station's MAC address: locally administered.
#define BENCH_STATION 0x0200

// What a TCP generator and its sink do. The sink counts the last segment of each exchange.
enum bench_exchange {
	BENCH_ONE_WAY = 0, // whatever the generator sends, and no answer
	BENCH_HANDSHAKE = 1, // SYN, SYN and ACK from the sink, ACK
	BENCH_TEARDOWN = 2, // FIN and ACK, FIN and ACK from the sink, ACK
};

// An endpoint is an inside address and source port; a flow is an endpoint and a destination.
// Addresses and ports in host byte order.
struct bench_flows {
	__u32 endpoints;
	// So many endpoints share one inside address; no two share a source port.
	__u32 ports_per_host;
	// The sequence of destination addresses repeats after so many.
	__u32 destinations;
	// There is a new destination after so many frames.
	__u32 destination_step;
	__u32 inside_base;
	__u32 destination_base;
	__u32 port_base;
	// The device that frames leave by.
	__u32 ifindex;
	// Of the IPv4 header without addresses and checksum.
	__u32 ip_sum;
	// Of pseudo header, L4 header and data without addresses, source port and checksum.
	__u32 l4_sum;
	// The whole frame; what varies is overwritten.
	__u64 frame[BENCH_TEMPLATE / 8];
	// How many are sent in this run.
	__u64 frames;
	// From one frame to the next at least, nanoseconds; 0: as fast as they can be made.
	__u64 gap_ns;
	// enum bench_exchange
	__u32 exchange;
	// Of VXLAN: the VTEPs that send, as many as there are destinations; the last 32 bits.
	__u32 vtep_base;
	// Of the outer IPv4 header without source and checksum.
	__u32 outer_ip_sum;
	// Of the outer pseudo header and UDP without what varies.
	__u32 outer_udp_sum;
};

// Where the generator stands: the loader writes it before a run, the program during it.
struct bench_position {
	__u32 endpoint;
	__u32 host;
	__u32 host_endpoint; // of ports_per_host
	__u32 destination;
	__u32 destination_frame; // of destination_step
	__u32 padding;
	__u64 first_ns; // when the first frame was made
	__u64 next_ns; // the next is made no sooner, if there is a gap
};

// What arrived at the sink.
struct bench_received {
	__u64 frames; // of the form that is expected; of those in two pieces, the last ones
	__u64 first_pieces;
	__u64 untranslated; // of these, with an inside source address
	__u64 bad_checksum; // of these; counted only when verifying
	__u64 others; // handed to the kernel: ARP, ICMP and the like
	__u64 last_ns; // when the last of the expected frames came, 0 if it did not
};

// What one core sends and receives: nothing of it is another core's.
struct bench_core {
	struct bench_flows flows;
	struct bench_position position;
	struct bench_received received;
} __attribute__((aligned(128))); // cores fetch cache lines in pairs

// The only variable, so that it begins where its map begins.
struct bench_state {
	struct bench_core cores[BENCH_CORES]; // by the number of the CPU
};

// The only constant, set before loading: the verifier removes the branches that it excludes.
struct bench_constants {
	__u8 protocol;
	__u8 verify; // look at every checksum at the sink
	__u16 macs[6]; // the redirect writes them: destination, source
	__u16 size; // of an inner frame
	__u8 sends; // enum bench_form
	__u8 expects; // enum bench_form, what the sink counts
	__u16 padding;
	__u32 vni; // network byte order, as it lies in a VXLAN header
	__u32 inside_network; // network byte order, like the mask
	__u32 inside_mask;
	__u32 redirect_ifindex;
};

#endif
