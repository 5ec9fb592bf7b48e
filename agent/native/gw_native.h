/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent asks of libbpf, with the option structs filled in here. CFFI reads this file
 * stripped of its guard and include lines. Every int is a value >= 0, or -errno.
 */
#ifndef GW_NATIVE_H
#define GW_NATIVE_H
#include <linux/types.h>
#include <stddef.h>

struct bpf_object;
struct bpf_map;
struct bpf_program;

struct gw_map_info {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 flags;
	__u32 id;
};

/* The messages of libbpf and the verifier since gw_log_clear(), the end of them if long. */
void gw_log_clear(void);
const char *gw_log(void);

/* NULL on failure; *error is -errno then. */
struct bpf_object *gw_object_open(const char *path, int *error);
int gw_object_load(struct bpf_object *object);
void gw_object_close(struct bpf_object *object);
struct bpf_map *gw_object_next_map(struct bpf_object *object, struct bpf_map *previous);
int gw_object_program(struct bpf_object *object, const char *name);
const char *gw_map_name(struct bpf_map *map);
int gw_map_internal(struct bpf_map *map);
int gw_map_fd(struct bpf_map *map);
int gw_map_resize(struct bpf_map *map, __u32 max_entries);
int gw_map_reuse(struct bpf_map *map, int fd);
void gw_map_wanted(struct bpf_map *map, struct gw_map_info *info);

int gw_pin(int fd, const char *path);
int gw_pinned(const char *path);
int gw_fd_map_info(int fd, struct gw_map_info *info);
int gw_fd_program_id(int fd, __u32 *id);
int gw_program_name(__u32 id, char *name, size_t size);

int gw_lookup(int map, const void *key, void *value);
int gw_update(int map, const void *key, const void *value);
int gw_delete(int map, const void *key);
int gw_next_key(int map, const void *previous, void *next);
/* Reads *count elements after `previous` (NULL: from the start); *count becomes what was read. */
int gw_lookup_batch(int map, void *previous, void *next, void *keys, void *values, __u32 *count);
int gw_possible_cpus(void);

/* Links outlive the process once pinned. `generic` asks for the mode that every driver has. */
int gw_xdp_link(int program, int ifindex, int generic);
int gw_link_update(int link, int program);
/* At once: closing the last reference to a link detaches some time later. */
int gw_link_detach(int link);
int gw_link_info(int link, __u32 *ifindex, __u32 *program_id);
/* *mode: enum of <linux/if_link.h> XDP_ATTACHED_*. */
int gw_xdp_query(int ifindex, __u32 *program_id, __u32 *mode);

/* clsact: 1 when it was made, 0 when it was there. */
int gw_tc_prepare(int ifindex);
int gw_tc_attach(int ifindex, int egress, int program, __u32 handle, __u32 priority);
int gw_tc_detach(int ifindex, int egress, __u32 handle, __u32 priority);
int gw_tc_query(int ifindex, int egress, __u32 handle, __u32 priority, __u32 *program_id);
int gw_tc_remove(int ifindex);

/* Runs an XDP program once on a frame; `size` is the room in `frame` and becomes its length. */
int gw_test_run(int program, void *frame, __u32 *size, __u32 room, __u32 ingress, __u32 *action);
int gw_close(int fd);
#endif
