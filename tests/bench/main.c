// SPDX-License-Identifier: GPL-2.0-or-later
// gw-bench generate: sends what each line of the standard input asks for and prints a JSON object.
// gw-bench redirect: attaches the bare redirect until the standard input ends.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <bpf/libbpf.h>

#include "bench.h"

static const struct option long_options[] = {
	{"object", required_argument, NULL, 'o'},
	{"in-netns", required_argument, NULL, 'n'},
	{"in-device", required_argument, NULL, 'd'},
	{"out-netns", required_argument, NULL, 'N'},
	{"out-device", required_argument, NULL, 'D'},
	{"gateway-mac", required_argument, NULL, 'm'},
	{"inside", required_argument, NULL, 'i'},
	{"protocol", required_argument, NULL, 'p'},
	{"cpu", required_argument, NULL, 'c'},
	{"verify", no_argument, NULL, 'v'},
	{},
};

static int
mac_parse(__u8 mac[6], const char *text)
{
	int count = sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
			   &mac[3], &mac[4], &mac[5]);

	return count == 6 ? 0 : -EINVAL;
}

static int
prefix_parse(struct bench_options *options, char *text)
{
	char *length = strchr(text, '/');
	int bits;

	if (!length)
		return -EINVAL;
	*length++ = '\0';
	bits = atoi(length);
	if (bits < 1 || bits > 32 || inet_pton(AF_INET, text, &options->inside_network) != 1)
		return -EINVAL;
	options->inside_mask = htonl(~0U << (32 - bits));

	return 0;
}

static int
option_parse(struct bench_options *options, int option, char *value)
{
	switch (option) {
	case 'o':
		options->object = value;
		return 0;
	case 'n':
		options->in_netns = value;
		return 0;
	case 'd':
		options->in_device = value;
		return 0;
	case 'N':
		options->out_netns = value;
		return 0;
	case 'D':
		options->out_device = value;
		return 0;
	case 'm':
		return mac_parse(options->gateway_mac, value);
	case 'i':
		return prefix_parse(options, value);
	case 'p':
		options->protocol = !strcmp(value, "tcp") ? IPPROTO_TCP : IPPROTO_UDP;
		return 0;
	case 'c':
		options->cpu = atoi(value);
		return 0;
	case 'v':
		options->verify = 1;
		return 0;
	default:
		return -EINVAL;
	}
}

static int
pin_to_cpu(int cpu)
{
	const struct sched_param realtime = {.sched_priority = 1};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return -errno;
	// Whatever else runs on the machine shall disturb as little as possible: a run takes a second
	// or two, and the kernel itself keeps a share of the core for the others.
	if (sched_setscheduler(0, SCHED_FIFO, &realtime) && setpriority(PRIO_PROCESS, 0, -20))
		return -errno;

	return 0;
}

int
main(int argc, char **argv)
{
	struct bench_options options = {.protocol = IPPROTO_UDP};
	int option, error = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1 && !error)
		error = option_parse(&options, option, optarg);
	if (error || optind + 1 != argc || !options.object || !options.in_netns ||
	    !options.in_device || !options.out_netns || !options.out_device) {
		fprintf(stderr, "usage: gw-bench generate|redirect --object FILE --in-netns NAME "
				"--in-device NAME --out-netns NAME --out-device NAME ...\n");
		return 2;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	error = pin_to_cpu(options.cpu);
	if (!error && !strcmp(argv[optind], "generate"))
		error = bench_generate(&options);
	else if (!error)
		error = bench_redirect(&options);
	if (error)
		fprintf(stderr, "gw-bench: %s\n", strerror(-error));

	return error ? 1 : 0;
}
