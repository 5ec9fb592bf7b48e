/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include <linux/types.h>

// What the generator program and its loader agree on. Sums are ones' complement sums of 16-bit
// words as they lie in memory, so that neither side has to swap bytes for them.

#define BENCH_FRAME_SIZE 60 // the smallest Ethernet frame, without its checksum
#define BENCH_CORES	 64 // a power of two

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
	__u64 frame[8];
	// How many are sent in this run.
	__u64 frames;
	// enum bench_exchange
	__u32 exchange;
	__u32 padding;
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
};

// What arrived at the sink.
struct bench_received {
	__u64 frames; // IPv4 of the protocol that the generator sends
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
	__u16 padding;
	__u32 inside_network; // network byte order, like the mask
	__u32 inside_mask;
	__u32 redirect_ifindex;
};

#endif
