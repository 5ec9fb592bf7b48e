// SPDX-License-Identifier: GPL-2.0-or-later
// gw-bench generate: sends what each line of the standard input asks for and prints a JSON object.
// gw-bench redirect: attaches the bare redirect until the standard input ends.
// gw-bench sweep: scans the sessions of an instance once and prints a JSON object.
// gw-bench stations: prints how many stations an instance's FDB has, or all of them.

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bench.h"

static int
command_run(const struct bench_options *options, const char *command)
{
	if (!strcmp(command, "generate"))
		return bench_generate(options);
	if (!strcmp(command, "redirect"))
		return bench_redirect(options);

	if (!strcmp(command, "sweep"))
		return bench_sweep(options);

	return bench_stations(options);
}

int
main(int argc, char **argv)
{
	struct bench_options options = {.protocol = IPPROTO_UDP};
	const char *command = options_parse(&options, argc, argv);
	int error;

	if (!command) {
		fprintf(stderr, "usage: gw-bench generate|redirect --object FILE --in-netns NAME "
				"--in-device NAME --out-netns NAME --out-device NAME ...\n"
				"       gw-bench sweep|stations --maps FOLDER [--all]\n");
		return 2;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	// Who only looks must not stand in the way of whoever is looked at.
	error = strcmp(command, "stations") ? pin_to_cpu(options.cpu) : 0;
	if (!error)
		error = command_run(&options, command);
	if (error)
		fprintf(stderr, "gw-bench: %s\n", strerror(-error));

	return error ? 1 : 0;
}
