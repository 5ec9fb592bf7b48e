/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields of what a map holds, by the names in its BTF. */
#ifndef GW_FIELDS_H
#define GW_FIELDS_H
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/types.h>

/* Where a field is; of an array, where its first element is. `size` 0: there is no such field. */
struct field {
	__u32 offset;
	__u32 size;
	__u32 step; /* of an array: from one element to the next */
};

/* Goes down `path` ("arrives.saddr"), into the first element of an array on the way. 0 or
 * -errno. */
int field_find(const struct btf *btf, __u32 id, const char *path, struct field *field);
/* What is there, if it is of a size that a number can have. */
__u64 field_load(const char *at, __u32 size);
/* The map's BTF, which the caller frees; `info` has the type of its values. NULL sets *error. */
struct btf *map_btf(int map, struct bpf_map_info *info, int *error);
#endif
