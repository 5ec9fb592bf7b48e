// SPDX-License-Identifier: GPL-2.0-or-later
// One scan of an instance's sessions, slice by slice, by gw_sweep_slice: the same code that the
// kernel's timer runs. The kernel itself measures each run of it, soft interrupts disabled.

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "gw_abi.h"

#define PROGRAM	   "gw_sweep_slice"
#define SLICE	   32768 // records, as many as the timer looks at in one go
#define FRAME_SIZE 64 // of the frame that the program does not look at
#define MAPS_MAX   64 // of one program

struct scan {
	__u64 ns;
	__u64 longest_ns;
	__u32 looked;
	__u32 removed;
	__u32 slices;
};

static int
program_uses(int program, __u32 map_id)
{
	__u32 maps[MAPS_MAX];
	struct bpf_prog_info info = {.map_ids = (__u64)(unsigned long)maps, .nr_map_ids = MAPS_MAX};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &size) || strcmp(info.name, PROGRAM))
		return 0;
	for (__u32 i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
		if (maps[i] == map_id)
			return 1;

	return 0;
}

// The loaded program that works on this map: every instance has its own.
static int
program_of(int map)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info), id = 0;
	int error = bpf_obj_get_info_by_fd(map, &info, &size);

	while (!error && !bpf_prog_get_next_id(id, &id)) {
		int program = bpf_prog_get_fd_by_id(id);

		if (program >= 0 && program_uses(program, info.id))
			return program;
		if (program >= 0)
			close(program);
	}
	fprintf(stderr, "no program " PROGRAM " of this instance is loaded\n");

	return -ENOENT;
}

static int
slice(int program, int sweeps, struct gw_sweep *sweep, struct scan *scan)
{
	const __u32 sweeper = GW_SWEEPER_AGENT;
	__u8 frame[FRAME_SIZE] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);
	int error = bpf_map_update_elem(sweeps, &sweeper, sweep, BPF_ANY);

	if (!error)
		error = bpf_prog_test_run_opts(program, &options);
	if (!error)
		error = bpf_map_lookup_elem(sweeps, &sweeper, sweep);
	if (error)
		return error;
	scan->ns += options.duration;
	if (options.duration > scan->longest_ns)
		scan->longest_ns = options.duration;
	scan->looked += sweep->looked;
	scan->removed += sweep->removed;
	scan->slices++;

	return sweep->looked ? 0 : -EIO;
}

static int
scan_all(int program, int sweeps, __u32 records, __u32 what, struct scan *scan)
{
	__u32 from = 0;
	int error = 0;

	while (from < records && !error) {
		__u32 left = records - from;
		struct gw_sweep sweep = {
			.from = from, .count = left < SLICE ? left : SLICE, .what = what};

		error = slice(program, sweeps, &sweep, scan);
		from += sweep.looked;
	}

	return error;
}

int
bench_sweep(const struct bench_options *options)
{
	const __u32 what = options->all ? GW_SWEEP_ALL : GW_SWEEP_EXPIRED, zero = 0;
	struct gw_status status;
	struct scan scan = {};
	int statuses, sweeps, program, error;

	statuses = map_open(options->maps, "gw_status");
	sweeps = map_open(options->maps, "gw_sweeps");
	if (statuses < 0 || sweeps < 0)
		return -ENOENT;
	program = program_of(sweeps);
	if (program < 0)
		return program;
	error = bpf_map_lookup_elem(statuses, &zero, &status);
	if (!error)
		error = scan_all(program, sweeps, status.fresh, what, &scan);
	if (error)
		return error;
	printf("{\"ns\": %llu, \"longest_ns\": %llu, \"looked\": %u, \"removed\": %u, "
	       "\"slices\": %u}\n",
	       scan.ns, scan.longest_ns, scan.looked, scan.removed, scan.slices);

	return 0;
}
