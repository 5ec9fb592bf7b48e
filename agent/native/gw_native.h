/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent asks of libbpf, with the option structs filled in here. CFFI reads this file
 * stripped of its guard and include lines. Every int is a value >= 0, or -errno.
 */
#ifndef GW_NATIVE_H
#define GW_NATIVE_H
#include <linux/types.h>
#include <stddef.h>
#include "gw_abi.h"

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
/* Loads a TC program by which every frame arrives at that device instead; its descriptor. */
int gw_heard_program(int ifindex);

/* The program's descriptor, and whether it uses a map: 1 or 0. */
int gw_program_by_id(__u32 id);
int gw_program_uses(__u32 id, __u32 map);

/*
 * What a map of any version holds, by the names in its BTF. `path` goes down from the value:
 * "session.arrives.saddr"; of an array it means the first element. -ENOENT: no such field.
 */
int gw_field(int map, const char *path, __u32 *offset, __u32 *size);
/* Does the map's BTF have the same enum of that name as the object? 1 or 0. */
int gw_same_enum(int map, struct bpf_object *object, const char *name);

/*
 * Reads the live sessions of a map gw_records, of which the first `fresh` were ever used. Has a
 * descriptor of its own, so that it may be used in another thread. NULL: `why` says it.
 */
struct gw_reader;
struct gw_reader *gw_reader_open(int map, __u32 fresh, char *why, size_t room);
void gw_reader_close(struct gw_reader *reader);
void gw_reader_rewind(struct gw_reader *reader);
/* The next sessions, those opened before `since` (CLOCK_MONOTONIC s) left out; 0 at the end. */
int gw_reader_read(struct gw_reader *reader, __u32 since, struct gw_saved *into, __u32 room);
/* How many there are, expired ones included; rewinds. */
int gw_reader_count(struct gw_reader *reader);

/* Where sessions go: gw_saved_batch, gw_batch and the program gw_import. */
struct gw_importer {
	int records;
	int batch;
	int program;
};

/* Adds to tally[6], by enum gw_saved_result. */
int gw_import(const struct gw_importer *to, const struct gw_saved *records, __u32 count,
	      __u32 *tally);
/* Takes `passed` ns off what the sessions have left; returns how many are left, moved to the
 * front. Whether they make sense, gw_import judges. */
int gw_saved_elapse(struct gw_saved *records, __u32 count, __u64 passed);

/* Ports that rest, from one gw_mappings to another. */
struct gw_resting {
	int theirs;
	int ours;
	__u32 value_size; /* of theirs, and where in it the fields are */
	__u32 users;
	__u32 released;
	__u32 since; /* CLOCK_MONOTONIC s: released before, it rests no longer */
	int places[16]; /* by their pool index: ours, or -1 */
};

int gw_carry_rest(const struct gw_resting *rest);

/* Lets two paths exchange what they lead to, at once. */
int gw_exchange(const char *one, const char *other);

/* Runs an XDP program once on a frame; `size` is the room in `frame` and becomes its length. */
int gw_test_run(int program, void *frame, __u32 *size, __u32 room, __u32 ingress, __u32 *action);
int gw_close(int fd);

/* ---- scan.c: what the tables hold, looked through without an object for each entry ---- */

/* Addresses in network byte order, ports in host order and inclusive. Mask 0: every address. */
struct gw_match {
	__u32 address;
	__u32 mask;
	__u16 low;
	__u16 high;
};

/* Which of a session's endpoints; of ANY, one has the address and one, maybe another, the port. */
enum gw_match_end {
	GW_MATCH_INSIDE = 0,
	GW_MATCH_OUTSIDE = 1,
	GW_MATCH_REMOTE = 2,
	GW_MATCH_ANY = 3,
	GW_MATCH_ENDS = 4,
};

enum gw_scan_sort {
	GW_SORT_NONE = 0, /* by record: the scan ends with the page */
	GW_SORT_AGE,
	GW_SORT_LEFT,
	GW_SORT_BYTES,
	GW_SORT_PACKETS,
	GW_SORT_INSIDE,
	GW_SORT_OUTSIDE,
	GW_SORT_REMOTE,
};

struct gw_scan {
	__u64 now; /* CLOCK_MONOTONIC ns; what has expired by then is not there */
	__u64 age_min, age_max; /* s, inclusive */
	__u64 left_min, left_max; /* ns until it expires, inclusive */
	struct gw_match matches[4]; /* by enum gw_match_end */
	__u32 from, end; /* records */
	__u32 limit; /* room in `hits`, 0: count only */
	__u32 sort; /* enum gw_scan_sort */
	__u32 descending;
	__u32 resume; /* 1: after what follows, the key and index of the last hit before */
	__u64 after_key;
	__u32 after_index;
	__u32 states; /* bits by enum gw_tcp_state, 0: any */
	__u8 protocol; /* IPPROTO_*, 0: any */
	__u8 flags_mask; /* enum gw_session_flag: those of the mask are as in `flags` */
	__u8 flags;
	__u8 pad;
	/* Written by the scan: */
	__u32 found; /* hits */
	__u32 matched; /* sessions, of all pages that are left when it sorts */
	__u32 next; /* not sorted: the record to go on with, or GW_NO_SLOT */
};

struct gw_scan_hit {
	__u64 key; /* by which it was sorted */
	__u32 index;
	__u32 pad;
	struct gw_session session; /* a copy, with the claim that it was made under */
};

int gw_scan_sessions(int records, struct gw_scan *scan, struct gw_scan_hit *hits);
/* The first so many hits, at most GW_BATCH_MAX, become what gw_remove ends. */
int gw_write_picks(int picks, const struct gw_scan_hit *hits, __u32 count);

struct gw_mapping_scan {
	struct gw_match inside;
	struct gw_match outside; /* its port; the address is in `pools` */
	__u32 pools; /* bits by index of the pool */
	__u32 protocols; /* bits by enum gw_nat_protocol */
	__u32 from, end; /* slots */
	__u32 limit; /* room in `hits`, 0: count only */
	/* Written by the scan: */
	__u32 found;
	__u32 matched;
	__u32 next; /* slot to go on with, or GW_NO_SLOT */
};

struct gw_mapping_hit {
	__u32 slot;
	struct gw_mapping mapping;
};

int gw_scan_mappings(int mappings, struct gw_mapping_scan *scan, struct gw_mapping_hit *hits);

/* The outside ports of one address and protocol. */
struct gw_port_use {
	__u32 used;
	__u32 used_in_range; /* of nat44.ports; the rest are from before it was changed */
	__u32 resting; /* in the range */
};

/* Adds to `uses`, by slot >> 16; `now` in seconds of CLOCK_MONOTONIC. */
int gw_count_ports(int mappings, __u32 slots, const struct gw_settings *nat, __u32 now,
		   struct gw_port_use *uses);

struct gw_host_use {
	__u32 hosts;
	__u32 at_limit; /* of sessions or of ports */
};

int gw_count_hosts(int hosts, const struct gw_settings *nat, struct gw_host_use *use);

/* The ring gw_log. Its memory stays mapped, so `map` may be closed. NULL: *error is -errno. */
struct gw_ring;
struct gw_ring *gw_ring_open(int map, int *error);
/* Readable while there are events. */
int gw_ring_fd(struct gw_ring *ring);
/* Takes at most `room` events out; returns how many. *strange: records that were none of ours. */
int gw_ring_read(struct gw_ring *ring, struct gw_log_event *events, __u32 room, __u32 *strange);
void gw_ring_close(struct gw_ring *ring);
#endif
