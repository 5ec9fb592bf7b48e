/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every map, with who writes it. The agent pins all of them under the name they have here and
 * sets the sizes marked "agent" before it loads the object.
 */
#ifndef GW_MAPS_H
#define GW_MAPS_H
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "gw_abi.h"

/* Written by the agent: how NAT44 behaves. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gw_settings);
} gw_settings SEC(".maps");

/* Written by the agent: what each device is for, in slot ifindex % GW_DEVICES_MAX. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GW_DEVICES_MAX);
	__type(key, __u32);
	__type(value, struct gw_device);
} gw_devices SEC(".maps");

/* Written by the agent: redirect targets by gw_device.row. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, GW_PORTS_MAX);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} gw_tx SEC(".maps");

/* Written by the agent from the kernel's FDB; `used` and `seen` are written by XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_FDB_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_fdb_key);
	__type(value, struct gw_fdb_entry);
} gw_fdb SEC(".maps");

/* Written by the agent: what VXLAN may arrive at which of our addresses, and from whom. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_VNIS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_vni_key);
	__type(value, struct gw_vni);
} gw_vnis SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_VTEPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_vtep_key);
	__type(value, struct gw_vtep);
} gw_vteps SEC(".maps");

/* Written by the agent: the VTEPs that gw_fdb and gw_floods lead to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GW_TUNNELS_MAX);
	__type(key, __u32);
	__type(value, struct gw_tunnel);
} gw_tunnels SEC(".maps");

/* Written by the agent: flood sets, for frames that have to be cut. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_FLOODS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_flood_key);
	__type(value, struct gw_flood);
} gw_floods SEC(".maps");

/* Written by the agent: outside addresses, of the pool and 1:1; the value is not used. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_ADDRESSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} gw_addresses SEC(".maps");

/* Written by the agent: static mappings, one trie for each direction. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, GW_STATICS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_static_key);
	__type(value, struct gw_static);
} gw_static_in SEC(".maps"), gw_static_out SEC(".maps");

/* Written by the agent: prefixes that live behind the inside devices, for the guard. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, GW_PREFIXES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gw_prefix);
	__type(value, __u32);
} gw_inside SEC(".maps");

/* Written by XDP and the sweep: see index.h. Nothing is ever evicted from it. Page-aligned, as
 * a map that could be mapped into memory is, so that a bucket is a cache line. Agent: buckets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gw_bucket);
} gw_sessions SEC(".maps");

/* Written by XDP and the sweep. Page-aligned like gw_sessions. Agent: sessions. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gw_record);
} gw_records SEC(".maps");

/* Written by XDP and the sweep: records to use again, oldest first, so that an index rests
 * before its reuse. Agent: sessions. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} gw_free SEC(".maps");

/* Written by XDP and the sweep. Agent: pool * GW_SLOTS_PER_ADDRESS. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gw_mapping);
} gw_mappings SEC(".maps");

/* Written by XDP and the sweep: inside endpoint to its slot in gw_mappings, and remote addresses
 * that a mapping has sent to; as gw_sessions works. Agent: buckets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gw_bucket);
} gw_endpoints SEC(".maps"), gw_permits SEC(".maps");

/* Written by XDP and the sweep: inside address to what it holds. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GW_HOSTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct gw_host);
} gw_hosts SEC(".maps");

/* Written by XDP and TC, one row a port; per CPU, so that counting needs no atomics. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GW_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct gw_port_counters);
} gw_counters SEC(".maps");

/* Written by XDP and the sweep. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gw_status);
} gw_status SEC(".maps");

/* Written by the agent before it runs gw_import, which writes `result`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GW_BATCH_MAX);
	__type(key, __u32);
	__type(value, struct gw_saved);
} gw_saved_batch SEC(".maps");

/* Written by the agent before it runs gw_remove. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GW_BATCH_MAX);
	__type(key, __u32);
	__type(value, struct gw_pick);
} gw_picks SEC(".maps");

/* Written by the agent (count) and by gw_import and gw_remove (done). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gw_batch);
} gw_batch SEC(".maps");

/* Written by XDP and the sweep, read by the agent: struct gw_log_event. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, GW_LOG_BYTES);
} gw_log SEC(".maps");
#endif
