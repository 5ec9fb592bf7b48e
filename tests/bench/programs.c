// SPDX-License-Identifier: GPL-2.0-or-later
// Loading and attaching the BPF programs, and the namespaces that they are attached in.

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"

int
netns_enter(const char *name)
{
	char path[128];
	int error = 0;
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		error = -errno;
		fprintf(stderr, "namespace %s: %s\n", name, strerror(errno));
	}
	if (fd >= 0)
		close(fd);

	return error;
}

int
device_mac(const char *device, __u8 mac[6])
{
	struct ifreq request = {};
	int error = 0;
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request)) {
		error = -errno;
		fprintf(stderr, "device %s: %s\n", device, strerror(errno));
	}
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);

	return error;
}

struct bench_constants
constants_from(const struct bench_options *options)
{
	return (struct bench_constants){
		.protocol = options->protocol,
		.verify = options->verify,
		.size = options->size,
		.sends = options->sends,
		.expects = options->expects,
		.vni = options->vni,
		.inside_network = options->inside_network,
		.inside_mask = options->inside_mask,
	};
}

struct bpf_object *
programs_load(const char *path, const struct bench_constants *constants)
{
	struct bpf_object *object;
	struct bpf_map *map;

	object = bpf_object__open_file(path, NULL);
	if (!object)
		return NULL;
	map = bpf_object__find_map_by_name(object, ".rodata");
	if (!map || bpf_map__set_initial_value(map, constants, sizeof(*constants)) ||
	    bpf_object__load(object)) {
		bpf_object__close(object);
		return NULL;
	}

	return object;
}

struct bench_state *
programs_state(struct bpf_object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".bss");
	void *value;

	if (!map || bpf_map__value_size(map) < sizeof(struct bench_state))
		return NULL;
	value = mmap(NULL, bpf_map__value_size(map), PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(map), 0);

	return value == MAP_FAILED ? NULL : value;
}

int
program_fd(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}

struct bpf_link *
program_attach(struct bpf_object *object, const char *name, int ifindex)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	struct bpf_link *link;

	if (!program || ifindex <= 0) {
		fprintf(stderr, "%s: no such program or device\n", name);
		return NULL;
	}
	link = bpf_program__attach_xdp(program, ifindex);
	if (!link)
		fprintf(stderr, "%s: cannot attach: %s\n", name, strerror(errno));

	return link;
}

int
map_open(const char *folder, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-fd));

	return fd;
}
