// SPDX-License-Identifier: GPL-2.0-or-later
// gw-bench generate: sends what each line of the standard input asks for and prints a JSON object.
// gw-bench redirect: attaches the bare redirect until the standard input ends.
// gw-bench sweep: scans the sessions of an instance once and prints a JSON object.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	{"maps", required_argument, NULL, 'M'},
	{"all", no_argument, NULL, 'a'},
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
	case 'M':
		options->maps = value;
		return 0;
	case 'a':
		options->all = 1;
		return 0;
	default:
		return -EINVAL;
	}
}

// What each command must be told.
static int
options_complete(const struct bench_options *options, const char *command)
{
	if (!strcmp(command, "sweep"))
		return options->maps != NULL;

	return options->object && options->in_netns && options->in_device && options->out_netns &&
	       options->out_device;
}

static int
command_run(const struct bench_options *options, const char *command)
{
	if (!strcmp(command, "generate"))
		return bench_generate(options);
	if (!strcmp(command, "redirect"))
		return bench_redirect(options);

	return bench_sweep(options);
}

int
main(int argc, char **argv)
{
	struct bench_options options = {.protocol = IPPROTO_UDP};
	int option, error = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1 && !error)
		error = option_parse(&options, option, optarg);
	if (error || optind + 1 != argc || !options_complete(&options, argv[optind])) {
		fprintf(stderr, "usage: gw-bench generate|redirect --object FILE --in-netns NAME "
				"--in-device NAME --out-netns NAME --out-device NAME ...\n"
				"       gw-bench sweep --maps FOLDER [--all]\n");
		return 2;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	error = pin_to_cpu(options.cpu);
	if (!error)
		error = command_run(&options, argv[optind]);
	if (error)
		fprintf(stderr, "gw-bench: %s\n", strerror(-error));

	return error ? 1 : 0;
}
