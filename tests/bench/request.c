// SPDX-License-Identifier: GPL-2.0-or-later
// A run is asked for by one line of words NAME=NUMBER; what is not named has a default.

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define LINE_SIZE	 512
#define INSIDE_BASE	 0x0a400100 // 10.64.1.0
#define DESTINATION_BASE 0x0b000000 // 11.0.0.0

static int
word_parse(struct bench_request *request, char *word)
{
	struct bench_flows *flows = &request->flows;
	char *value = strchr(word, '=');
	unsigned long long number;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	number = strtoull(value, NULL, 10);
	if (!strcmp(word, "frames"))
		flows->frames = number;
	else if (!strcmp(word, "endpoints"))
		flows->endpoints = number;
	else if (!strcmp(word, "ports-per-host"))
		flows->ports_per_host = number;
	else if (!strcmp(word, "destinations"))
		flows->destinations = number;
	else if (!strcmp(word, "destination-step"))
		flows->destination_step = number;
	else if (!strcmp(word, "first-destination"))
		request->first_destination = number;
	else if (!strcmp(word, "exchange"))
		flows->exchange = number;
	else if (!strcmp(word, "gap-ns"))
		flows->gap_ns = number;
	else if (!strcmp(word, "cores"))
		request->cores = number;
	else
		return -EINVAL;

	return 0;
}

// Returns 1 with a request, 0 at the end of the input, -EINVAL for a line that is none.
int
request_read(struct bench_request *request)
{
	char line[LINE_SIZE];
	char *word;

	if (!fgets(line, sizeof(line), stdin))
		return 0;

	*request = (struct bench_request){
		.cores = 1,
		.flows = {.endpoints = 1,
			  .ports_per_host = 1,
			  .destinations = 1,
			  .destination_step = 1,
			  .inside_base = INSIDE_BASE,
			  .destination_base = DESTINATION_BASE,
			  .port_base = 1024},
	};
	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (word_parse(request, word)) {
			fprintf(stderr, "not understood: %s\n", word);
			return -EINVAL;
		}
	}
	if (!request->flows.frames || request->flows.frames > 0xffffffff ||
	    !request->flows.endpoints ||
	    request->flows.endpoints > 0xffff - request->flows.port_base || !request->cores ||
	    request->cores > BENCH_CORES || request->flows.exchange > BENCH_TEARDOWN) {
		fprintf(stderr, "frames, endpoints, cores or exchange out of range\n");
		return -EINVAL;
	}

	return 1;
}
