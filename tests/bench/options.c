// SPDX-License-Identifier: GPL-2.0-or-later
// The command line.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	{"sends", required_argument, NULL, 's'},
	{"expects", required_argument, NULL, 'e'},
	{"size", required_argument, NULL, 'S'},
	{"vni", required_argument, NULL, 'V'},
	{"vtep-source", required_argument, NULL, 'f'},
	{"vtep-destination", required_argument, NULL, 't'},
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
form_parse(__u8 *form, const char *value)
{
	static const char *const names[] = {
		[BENCH_INNER] = "inner",
		[BENCH_VXLAN4] = "vxlan4",
		[BENCH_VXLAN6] = "vxlan6",
		[BENCH_VXLAN6_CUT] = "vxlan6-cut",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(value, names[i])) {
			*form = i;
			return 0;
		}
	}

	return -EINVAL;
}

static int
address_parse(__u8 address[16], const char *value)
{
	const int family = strchr(value, ':') ? AF_INET6 : AF_INET;

	return inet_pton(family, value, address) == 1 ? 0 : -EINVAL;
}

// What only the group vxlan needs.
static int
tunnel_option_parse(struct bench_options *options, int option, const char *value)
{
	options->tunnels = 1;
	switch (option) {
	case 's':
		return form_parse(&options->sends, value);
	case 'e':
		return form_parse(&options->expects, value);
	case 'S':
		options->size = atoi(value);
		return options->size < BENCH_INNER_HEADERS || options->size > BENCH_INNER_MAX ?
			       -EINVAL :
			       0;
	case 'V':
		options->vni = htonl(atoi(value) << 8);
		return 0;
	case 'f':
		return address_parse(options->vtep_source, value);
	case 't':
		return address_parse(options->vtep_destination, value);
	default:
		return -EINVAL;
	}
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
		return tunnel_option_parse(options, option, value);
	}
}

// What each command must be told.
static int
options_complete(const struct bench_options *options, const char *command)
{
	if (!strcmp(command, "sweep") || !strcmp(command, "stations"))
		return options->maps != NULL;

	return options->object && options->in_netns && options->in_device && options->out_netns &&
	       options->out_device;
}

const char *
options_parse(struct bench_options *options, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (option_parse(options, option, optarg))
			return NULL;
	if (optind + 1 != argc || !options_complete(options, argv[optind]))
		return NULL;

	return argv[optind];
}
