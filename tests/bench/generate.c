// SPDX-License-Identifier: GPL-2.0-or-later
// The generator and the sink: one thread sends, and because every device is a veth, the gateway
// and the sink run in the soft interrupts of the same core, right after each batch.

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
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

static int
send_frames(int program, __u32 frames)
{
	__u8 data[BENCH_FRAME_SIZE] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data, .data_size_in = sizeof(data),
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

static void
state_prepare(struct bench_state *state, const struct bench_request *request)
{
	memset(state, 0, sizeof(*state));
	state->flows = request->flows;
	state->flows.destination_base += request->first_destination;
}

static int
run(int program, struct bench_state *state, const struct bench_request *request)
{
	const struct bench_received *received = &state->received;
	const __u64 frames = request->flows.frames;
	__u64 waited, in_time, ns;
	int error;

	state_prepare(state, request);
	waited = time_waited();
	error = send_frames(program, frames);
	if (error)
		return error;
	in_time = received->frames;
	drain(received, frames);
	waited = time_waited() - waited;
	ns = received->last_ns ? received->last_ns - state->position.first_ns : 0;

	printf("{\"frames\": %llu, \"ns\": %llu, \"waited_ns\": %llu, \"received\": %llu, "
	       "\"late\": %llu, \"untranslated\": %llu, \"bad_checksum\": %llu, "
	       "\"others\": %llu}\n",
	       frames, ns, waited, received->frames, received->frames - in_time,
	       received->untranslated, received->bad_checksum, received->others);
	fflush(stdout);

	return 0;
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
		frame_build(&request.flows, options, mac);
		request.flows.ifindex = ifindex;
		status = run(program, state, &request);
		if (status)
			break;
	}

	return status;
}

int
bench_generate(const struct bench_options *options)
{
	const struct bench_constants constants = {
		.protocol = options->protocol,
		.verify = options->verify,
		.inside_network = options->inside_network,
		.inside_mask = options->inside_mask,
	};
	struct bpf_object *object;
	struct bpf_link *sink = NULL;
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
	if (!error)
		error = serve(object, options);
	bpf_link__destroy(sink);
close:
	bpf_object__close(object);

	return error;
}
