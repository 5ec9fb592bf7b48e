// SPDX-License-Identifier: GPL-2.0-or-later
/* What a map of any version holds: see fields.h and gw_native.h. */
#include "fields.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include "gw_native.h"

static const struct btf_member *
member_named(const struct btf *btf, const struct btf_type *type, const char *name, size_t length)
{
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++, member++) {
		const char *found = btf__name_by_offset(btf, member->name_off);

		if (strlen(found) == length && !memcmp(found, name, length))
			return member;
	}
	return NULL;
}

int
field_find(const struct btf *btf, __u32 id, const char *path, struct field *field)
{
	__u32 bits = 0, step = 0;

	while (*path) {
		size_t length = strcspn(path, ".");
		const struct btf_type *type = btf__type_by_id(btf, btf__resolve_type(btf, id));
		const struct btf_member *member;

		if (!type || !btf_is_composite(type))
			return -ENOENT;
		member = member_named(btf, type, path, length);
		if (!member)
			return -ENOENT;
		if (btf_kflag(type) && BTF_MEMBER_BITFIELD_SIZE(member->offset))
			return -ENOTSUP;
		bits += btf_kflag(type) ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset;
		id = btf__resolve_type(btf, member->type);
		type = btf__type_by_id(btf, id);
		if (type && btf_is_array(type)) {
			id = btf_array(type)->type;
			step = btf__resolve_size(btf, id);
		}
		path += length + (path[length] == '.');
	}
	field->offset = bits / 8;
	field->size = btf__resolve_size(btf, id);
	field->step = step;
	return 0;
}

struct btf *
map_btf(int map, struct bpf_map_info *info, int *error)
{
	__u32 size = sizeof(*info);
	struct btf *btf;

	memset(info, 0, size);
	*error = bpf_obj_get_info_by_fd(map, info, &size);
	if (*error)
		return NULL;
	if (!info->btf_id || !info->btf_value_type_id) {
		*error = -ENODATA;
		return NULL;
	}
	btf = btf__load_from_kernel_by_id(info->btf_id);
	if (!btf)
		*error = -errno;
	return btf;
}

int
gw_field(int map, const char *path, __u32 *offset, __u32 *size)
{
	struct field field = {};
	struct bpf_map_info info;
	struct btf *btf;
	int result;

	btf = map_btf(map, &info, &result);
	if (!btf)
		return result;
	result = field_find(btf, info.btf_value_type_id, path, &field);
	*offset = field.offset;
	*size = field.size;
	btf__free(btf);
	return result;
}

static int
same_enum(const struct btf *a, const struct btf *b, const char *name)
{
	int first = btf__find_by_name_kind(a, name, BTF_KIND_ENUM);
	int second = btf__find_by_name_kind(b, name, BTF_KIND_ENUM);
	const struct btf_type *left, *right;

	if (first < 0 || second < 0)
		return 0;
	left = btf__type_by_id(a, first);
	right = btf__type_by_id(b, second);
	if (btf_vlen(left) != btf_vlen(right))
		return 0;
	for (int i = 0; i < btf_vlen(left); i++) {
		const struct btf_enum *x = btf_enum(left) + i, *y = btf_enum(right) + i;

		if (x->val != y->val || strcmp(btf__name_by_offset(a, x->name_off),
					       btf__name_by_offset(b, y->name_off)))
			return 0;
	}
	return 1;
}

int
gw_same_enum(int map, struct bpf_object *object, const char *name)
{
	const struct btf *ours = bpf_object__btf(object);
	struct bpf_map_info info;
	struct btf *theirs;
	int result;

	theirs = map_btf(map, &info, &result);
	if (!theirs)
		return result;
	result = ours && same_enum(theirs, ours, name);
	btf__free(theirs);
	return result;
}

__u64
field_load(const char *at, __u32 size)
{
	switch (size) {
	case 1:
		return *(const __u8 *)at;
	case 2:
		return *(const __u16 *)at;
	case 4:
		return *(const volatile __u32 *)at;
	case 8:
		return *(const volatile __u64 *)at;
	}
	return 0;
}
