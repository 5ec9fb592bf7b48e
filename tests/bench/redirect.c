// SPDX-License-Identifier: GPL-2.0-or-later
// The baseline of every measurement, in the place of the gateway.

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bench.h"

int
bench_redirect(const struct bench_options *options)
{
	struct bench_constants constants = constants_from(options);
	__u8 macs[12];
	struct bpf_object *object;
	struct bpf_link *link;
	int error;

	error = netns_enter(options->in_netns);
	if (error)
		return error;
	error = device_mac(options->out_device, macs + 6);
	if (error)
		return error;
	memcpy(macs, options->gateway_mac, 6);
	memcpy(constants.macs, macs, sizeof(constants.macs));
	constants.redirect_ifindex = if_nametoindex(options->out_device);

	object = programs_load(options->object, &constants);
	if (!object)
		return -errno;
	link = program_attach(object, "bench_redirect", if_nametoindex(options->in_device));
	if (!link) {
		error = -errno;
		goto close;
	}
	puts("attached");
	fflush(stdout);
	while (getchar() != EOF)
		;
	bpf_link__destroy(link);
close:
	bpf_object__close(object);

	return error;
}
