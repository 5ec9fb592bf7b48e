// SPDX-License-Identifier: GPL-2.0-or-later
// The generator and the sink: one thread a core sends, and because every device is a veth, the gateway
// and the sink run in the soft interrupts of the same core, right after each batch.

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"

#define BATCH_SIZE    64
#define NS_PER_SECOND 1000000000ULL
// What is still on its way when the last batch was sent arrives within this, or is lost.
#define DRAIN_NS      (20 * 1000 * 1000ULL)

static __u64
now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);

	return time.tv_sec * NS_PER_SECOND + time.tv_nsec;
}

// How long this thread was ready to run but did not, for the core was another's.
static __u64
time_waited(void)
{
	unsigned long long ran = 0, waited = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(file);

	return waited;
}

// What the program is given; it writes all headers itself.
static __u32
frame_size(const struct bench_options *options)
{
	static const __u32 outer[] = {
		[BENCH_INNER] = 0,
		[BENCH_VXLAN4] = BENCH_VXLAN4_SIZE,
		[BENCH_VXLAN6] = BENCH_VXLAN6_SIZE,
	};

	if (!options->tunnels)
		return BENCH_FRAME_SIZE;

	return BENCH_HEADROOM + outer[options->sends] + options->size;
}

static int
send_frames(int program, __u32 frames, __u32 size)
{
	__u8 data[BENCH_HEADROOM + BENCH_VXLAN6_SIZE + BENCH_INNER_MAX] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data, .data_size_in = size,
		    .repeat = frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = BATCH_SIZE);

	if (bpf_prog_test_run_opts(program, &options)) {
		fprintf(stderr, "cannot send: %s\n", strerror(errno));
		return -errno;
	}

	return 0;
}

// What the kernel's soft interrupt thread has still to do happens while this yields.
static void
drain(const volatile struct bench_received *received, __u64 frames)
{
	__u64 last = now(CLOCK_MONOTONIC);
	__u64 seen = received->frames;

	while (received->frames < frames && now(CLOCK_MONOTONIC) - last < DRAIN_NS) {
		sched_yield();
		if (received->frames != seen) {
			seen = received->frames;
			last = now(CLOCK_MONOTONIC);
		}
	}
}

// One core's part of a run.
struct sending {
	pthread_t thread;
	pthread_barrier_t *together;
	int program;
	__u32 frame_size;
	int cpu;
	struct bench_core *core;
	__u64 waited;
	__u64 in_time; // received when everything was sent
	int error;
};

static void *
send_on_core(void *argument)
{
	struct sending *sending = argument;
	struct bench_core *core = sending->core;
	const __u64 frames = core->flows.frames;

	sending->error = pin_to_cpu(sending->cpu);
	pthread_barrier_wait(sending->together);
	if (sending->error)
		return NULL;
	sending->waited = time_waited();
	sending->error = send_frames(sending->program, frames, sending->frame_size);
	if (sending->error)
		return NULL;
	sending->in_time = core->received.frames;
	drain(&core->received, frames);
	sending->waited = time_waited() - sending->waited;

	return NULL;
}

// From the first frame of the first core to the last frame of the last one; 0 if one is lost.
static __u64
time_taken(const struct sending *sendings, __u32 cores)
{
	__u64 first = ~0ULL, last = 0;

	for (__u32 i = 0; i < cores; i++) {
		const struct bench_core *core = sendings[i].core;

		if (!core->received.last_ns)
			return 0;
		if (core->position.first_ns < first)
			first = core->position.first_ns;
		if (core->received.last_ns > last)
			last = core->received.last_ns;
	}

	return last - first;
}

static void
report(const struct sending *sendings, __u32 cores)
{
	struct bench_received all = {};
	__u64 frames = 0, waited = 0, in_time = 0;

	for (__u32 i = 0; i < cores; i++) {
		const struct bench_received *received = &sendings[i].core->received;

		frames += sendings[i].core->flows.frames;
		waited += sendings[i].waited;
		in_time += sendings[i].in_time;
		all.frames += received->frames;
		all.first_pieces += received->first_pieces;
		all.untranslated += received->untranslated;
		all.bad_checksum += received->bad_checksum;
		all.others += received->others;
	}
	printf("{\"frames\": %llu, \"ns\": %llu, \"waited_ns\": %llu, \"received\": %llu, "
	       "\"late\": %llu, \"untranslated\": %llu, \"bad_checksum\": %llu, "
	       "\"others\": %llu, \"first_pieces\": %llu}\n",
	       frames, time_taken(sendings, cores), waited, all.frames, all.frames - in_time,
	       all.untranslated, all.bad_checksum, all.others, all.first_pieces);
	fflush(stdout);
}

// Each core sends to destinations of its own. The first is this thread's.
static int
run(int program, struct bench_state *state, const struct bench_request *request,
    const struct bench_options *options)
{
	struct sending sendings[BENCH_CORES] = {};
	const int cpu = options->cpu;
	pthread_barrier_t together;
	int error = 0;

	if (request->cores > (__u32)cpu + 1)
		return -EINVAL;
	memset(state, 0, sizeof(*state));
	pthread_barrier_init(&together, NULL, request->cores);
	for (__u32 i = 0; i < request->cores; i++) {
		struct bench_core *core = &state->cores[cpu - i];

		core->flows = request->flows;
		core->flows.destination_base +=
			request->first_destination + i * request->flows.destinations;
		sendings[i] = (struct sending){.together = &together,
					       .program = program,
					       .frame_size = frame_size(options),
					       .cpu = cpu - i,
					       .core = core};
		if (i && pthread_create(&sendings[i].thread, NULL, send_on_core, &sendings[i]))
			abort(); // the others would wait for it
	}
	send_on_core(&sendings[0]);
	for (__u32 i = 0; i < request->cores; i++) {
		if (i)
			pthread_join(sendings[i].thread, NULL);
		if (sendings[i].error)
			error = sendings[i].error;
	}
	pthread_barrier_destroy(&together);
	if (!error)
		report(sendings, request->cores);

	return error;
}

static int
serve(struct bpf_object *object, const struct bench_options *options)
{
	int program = program_fd(object, "bench_generate");
	int ifindex = if_nametoindex(options->in_device);
	struct bench_state *state = programs_state(object);
	struct bench_request request;
	__u8 mac[6];
	int status;

	if (program < 0 || !state || !ifindex)
		return -ENOENT;
	status = device_mac(options->in_device, mac);
	if (status)
		return status;
	while ((status = request_read(&request)) > 0) {
		if (options->tunnels)
			tunnel_frame_build(&request.flows, options, mac);
		else
			frame_build(&request.flows, options, mac);
		request.flows.ifindex = ifindex;
		status = run(program, state, &request, options);
		if (status)
			break;
	}

	return status;
}

int
bench_generate(const struct bench_options *options)
{
	const struct bench_constants constants = constants_from(options);
	struct bpf_object *object;
	struct bpf_link *sink = NULL, *client = NULL;
	int error;

	object = programs_load(options->object, &constants);
	if (!object)
		return -errno;
	error = netns_enter(options->out_netns);
	if (error)
		goto close;
	sink = program_attach(object, "bench_sink", if_nametoindex(options->out_device));
	if (!sink) {
		error = -errno;
		goto close;
	}
	error = netns_enter(options->in_netns);
	if (!error && options->protocol == IPPROTO_TCP) {
		client = program_attach(object, "bench_client", if_nametoindex(options->in_device));
		error = client ? 0 : -errno;
	}
	if (!error)
		error = serve(object, options);
	bpf_link__destroy(client);
	bpf_link__destroy(sink);
close:
	bpf_object__close(object);

	return error;
}
