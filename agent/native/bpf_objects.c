// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects, maps, pins and running a program once: see gw_native.h. libbpf 1.1 and later. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "gw_native.h"

enum {
	LOG_SIZE = 64 * 1024,
	MAPS_MAX = 64, /* that a program uses */
};

static char log_text[LOG_SIZE];
static size_t log_length;

/* Keeps the end: the verifier's verdict comes last. */
static int
log_append(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t room = LOG_SIZE - log_length;
	int length;

	if (level == LIBBPF_DEBUG)
		return 0;
	if (room < LOG_SIZE / 2) {
		memmove(log_text, log_text + LOG_SIZE / 2, log_length - LOG_SIZE / 2);
		log_length -= LOG_SIZE / 2;
		room = LOG_SIZE - log_length;
	}
	length = vsnprintf(log_text + log_length, room, format, arguments);
	if (length > 0)
		log_length += (size_t)length < room ? (size_t)length : room - 1;
	return 0;
}

void
gw_log_clear(void)
{
	libbpf_set_print(log_append);
	log_length = 0;
	log_text[0] = 0;
}

const char *
gw_log(void)
{
	return log_text;
}

struct bpf_object *
gw_object_open(const char *path, int *error)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	*error = object ? 0 : -errno;
	return object;
}

int
gw_object_load(struct bpf_object *object)
{
	return bpf_object__load(object);
}

void
gw_object_close(struct bpf_object *object)
{
	bpf_object__close(object);
}

struct bpf_map *
gw_object_next_map(struct bpf_object *object, struct bpf_map *previous)
{
	return bpf_object__next_map(object, previous);
}

int
gw_object_program(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}

const char *
gw_map_name(struct bpf_map *map)
{
	return bpf_map__name(map);
}

int
gw_map_internal(struct bpf_map *map)
{
	return bpf_map__is_internal(map);
}

int
gw_map_fd(struct bpf_map *map)
{
	return bpf_map__fd(map);
}

int
gw_map_resize(struct bpf_map *map, __u32 max_entries)
{
	return bpf_map__set_max_entries(map, max_entries);
}

int
gw_map_reuse(struct bpf_map *map, int fd)
{
	return bpf_map__reuse_fd(map, fd);
}

void
gw_map_wanted(struct bpf_map *map, struct gw_map_info *info)
{
	info->type = bpf_map__type(map);
	info->key_size = bpf_map__key_size(map);
	info->value_size = bpf_map__value_size(map);
	info->max_entries = bpf_map__max_entries(map);
	info->flags = bpf_map__map_flags(map);
	info->id = 0;
}

int
gw_pin(int fd, const char *path)
{
	return bpf_obj_pin(fd, path);
}

int
gw_pinned(const char *path)
{
	return bpf_obj_get(path);
}

int
gw_fd_map_info(int fd, struct gw_map_info *info)
{
	struct bpf_map_info kernel = {};
	__u32 size = sizeof(kernel);
	int result = bpf_obj_get_info_by_fd(fd, &kernel, &size);

	info->type = kernel.type;
	info->key_size = kernel.key_size;
	info->value_size = kernel.value_size;
	info->max_entries = kernel.max_entries;
	info->flags = kernel.map_flags;
	info->id = kernel.id;
	return result;
}

int
gw_fd_program_id(int fd, __u32 *id)
{
	struct bpf_prog_info kernel = {};
	__u32 size = sizeof(kernel);
	int result = bpf_obj_get_info_by_fd(fd, &kernel, &size);

	*id = kernel.id;
	return result;
}

int
gw_program_name(__u32 id, char *name, size_t room)
{
	struct bpf_prog_info kernel = {};
	__u32 size = sizeof(kernel);
	int fd = bpf_prog_get_fd_by_id(id), result;

	if (fd < 0)
		return fd;
	result = bpf_obj_get_info_by_fd(fd, &kernel, &size);
	snprintf(name, room, "%s", kernel.name);
	close(fd);
	return result;
}

int
gw_program_by_id(__u32 id)
{
	return bpf_prog_get_fd_by_id(id);
}

int
gw_program_uses(__u32 id, __u32 map)
{
	__u32 maps[MAPS_MAX], size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info kernel = {.nr_map_ids = MAPS_MAX, .map_ids = (__u64)(size_t)maps};
	int fd = bpf_prog_get_fd_by_id(id), result;

	if (fd < 0)
		return fd;
	result = bpf_obj_get_info_by_fd(fd, &kernel, &size);
	close(fd);
	for (__u32 i = 0; !result && i < kernel.nr_map_ids && i < MAPS_MAX; i++)
		if (maps[i] == map)
			return 1;
	return result;
}

int
gw_lookup(int map, const void *key, void *value)
{
	return bpf_map_lookup_elem(map, key, value);
}

int
gw_update(int map, const void *key, const void *value)
{
	return bpf_map_update_elem(map, key, value, BPF_ANY);
}

int
gw_delete(int map, const void *key)
{
	return bpf_map_delete_elem(map, key);
}

int
gw_next_key(int map, const void *previous, void *next)
{
	return bpf_map_get_next_key(map, previous, next);
}

int
gw_lookup_batch(int map, void *previous, void *next, void *keys, void *values, __u32 *count)
{
	return bpf_map_lookup_batch(map, previous, next, keys, values, count, NULL);
}

int
gw_possible_cpus(void)
{
	return libbpf_num_possible_cpus();
}

int
gw_test_run(int program, void *frame, __u32 *size, __u32 room, __u32 ingress, __u32 *action)
{
	struct xdp_md context = {.data_end = *size, .ingress_ifindex = ingress};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = *size,
		    .data_out = frame, .data_size_out = room, .repeat = 1);
	int result;

	if (ingress) {
		options.ctx_in = &context;
		options.ctx_size_in = sizeof(context);
	}
	result = bpf_prog_test_run_opts(program, &options);
	*size = options.data_size_out;
	*action = options.retval;
	return result;
}

int
gw_close(int fd)
{
	return close(fd) ? -errno : 0;
}
