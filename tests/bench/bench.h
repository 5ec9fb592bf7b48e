/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_H
#define BENCH_H

#include <linux/types.h>

#include "bench_flows.h"

struct bpf_object;
struct bpf_link;

struct bench_options {
	const char *object; // path of the compiled programs
	const char *in_netns, *in_device; // frames leave the generator, or enter the redirect, here
	const char *out_netns, *out_device; // where the sink, or the redirect's exit, is
	__u8 gateway_mac[6]; // destination of what is sent
	__u8 protocol;
	__u8 verify;
	__u32 inside_network, inside_mask; // network byte order
	__u8 tunnels; // the object is that of VXLAN
	__u8 sends, expects; // enum bench_form
	__u16 size; // of an inner frame
	__be32 vni; // as it lies in a VXLAN header
	__u8 vtep_source[16], vtep_destination[16]; // the first one that sends, and ours
	int cpu; // and those below it, when several cores send
	const char *maps; // folder of an instance's pinned maps
	__u8 all; // sweep: end live sessions too; stations: list them
};

// One line of the standard input.
struct bench_request {
	struct bench_flows flows;
	__u32 first_destination;
	__u32 cores;
};

// All return 0 or -errno, having said what went wrong on the standard error.
int bench_generate(const struct bench_options *options);
int bench_redirect(const struct bench_options *options);

int bench_sweep(const struct bench_options *options);
int bench_stations(const struct bench_options *options);

// Returns the command's name, NULL for a command line that is none.
const char *options_parse(struct bench_options *options, int argc, char **argv);

// Of the calling thread, which from then on runs before whatever else wants the CPU.
int pin_to_cpu(int cpu);
int netns_enter(const char *name);
int device_mac(const char *device, __u8 mac[6]);

struct bench_constants constants_from(const struct bench_options *options);

// Opens the object, sets its constants, loads it and leaves the programs unattached.
struct bpf_object *programs_load(const char *path, const struct bench_constants *constants);
struct bench_state *programs_state(struct bpf_object *object);
int program_fd(struct bpf_object *object, const char *name);
struct bpf_link *program_attach(struct bpf_object *object, const char *name, int ifindex);

// A pinned map, for those that want to look at an instance.
int map_open(const char *folder, const char *name);

int request_read(struct bench_request *request);
void frame_build(struct bench_flows *flows, const struct bench_options *options,
		 const __u8 source_mac[6]);
void tunnel_frame_build(struct bench_flows *flows, const struct bench_options *options,
			const __u8 source_mac[6]);

#endif
