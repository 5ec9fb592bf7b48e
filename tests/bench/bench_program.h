/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

// What every object of programs has. What one core sends arrives on that core, and each has counters
// of its own, so plain increments are exact.

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench_flows.h"

// Looks at the clock while a frame waits: several microseconds.
#define BENCH_SPINS 512

const volatile struct bench_constants constants = {};
struct bench_state state = {};

static __always_inline struct bench_core *
this_core(void)
{
	return &state.cores[bpf_get_smp_processor_id() & (BENCH_CORES - 1)];
}

static __always_inline __u16
fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32
halves(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

static __always_inline __u32
sum_words(const __u16 *words, int size)
{
	__u32 sum = 0;

	for (int i = 0; i < size / 2; i++)
		sum += words[i];
	return sum;
}

// Counters that wrap instead of divisions: the generator's own cost is part of every figure.
static __always_inline void
advance(struct bench_position *at, const struct bench_flows *flows)
{
	at->endpoint++;
	if (++at->host_endpoint == flows->ports_per_host) {
		at->host_endpoint = 0;
		at->host++;
	}
	if (at->endpoint == flows->endpoints) {
		at->endpoint = 0;
		at->host = 0;
		at->host_endpoint = 0;
	}
	if (++at->destination_frame == flows->destination_step) {
		at->destination_frame = 0;
		if (++at->destination == flows->destinations)
			at->destination = 0;
	}
}

// Waits for the time of the next frame, which is no sooner for what was late.
static __always_inline void
pace(struct bench_position *at, const struct bench_flows *flows)
{
	__u64 now = 0;

	for (int i = 0; i < BENCH_SPINS; i++) {
		now = bpf_ktime_get_ns();
		if (now >= at->next_ns)
			break;
	}
	at->next_ns = now + flows->gap_ns;
}

#endif
