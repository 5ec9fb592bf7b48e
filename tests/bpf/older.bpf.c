// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps as an agent that never was might have pinned them: less is known about a session, and it
 * stands elsewhere. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct gw_tuple {
	__u32 saddr;
	__u32 daddr;
	__u16 sport;
	__u16 dport;
};

struct gw_session {
	__u32 claim;
	__u8 flags;
	__u8 protocol;
	__u16 pad;
	struct gw_tuple leaves;
#ifdef UNREADABLE
	struct gw_tuple comes;
#else
	struct gw_tuple arrives;
#endif
	__u64 deadline;
};

struct gw_settings {
	__u32 abi_version;
	__u32 pool_size;
	__u32 pool[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gw_settings);
} gw_settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
#ifndef UNMAPPABLE
	__uint(map_flags, BPF_F_MMAPABLE);
#endif
	__type(key, __u32);
	__type(value, struct gw_session);
} gw_records SEC(".maps");

/* A map that no program uses is left out of the object by some. */
SEC("xdp")
int
older(struct xdp_md *ctx)
{
	__u32 zero = 0;

	if (!bpf_map_lookup_elem(&gw_settings, &zero) || !bpf_map_lookup_elem(&gw_records, &zero))
		return XDP_ABORTED;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
