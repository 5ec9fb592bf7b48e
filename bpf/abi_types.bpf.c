// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Never loaded. BTF keeps only types that something refers to: one object for each shared type
 * lets tests/abi compare all of gw_abi.h with what CFFI made of it.
 */
#include "gw_abi.h"

#define KEEP_STRUCT(name) struct name keep_##name
#define KEEP_ENUM(name)	  enum name keep_enum_##name

KEEP_ENUM(gw_abi);
KEEP_ENUM(gw_limit);
KEEP_ENUM(gw_device_flag);
KEEP_ENUM(gw_filtering);
KEEP_ENUM(gw_vxlan_flag);
KEEP_ENUM(gw_log_what);
KEEP_ENUM(gw_nat_protocol);
KEEP_ENUM(gw_timer_class);
KEEP_ENUM(gw_side);
KEEP_ENUM(gw_bucket_size);
KEEP_ENUM(gw_direction);
KEEP_ENUM(gw_tcp_state);
KEEP_ENUM(gw_session_flag);
KEEP_ENUM(gw_claim);
KEEP_ENUM(gw_no_slot);
KEEP_ENUM(gw_static_length);
KEEP_ENUM(gw_static_pad);
KEEP_ENUM(gw_static_flag);
KEEP_ENUM(gw_handover_flag);
KEEP_ENUM(gw_handover_magic);
KEEP_ENUM(gw_vni_other);
KEEP_ENUM(gw_vni_flag);
KEEP_ENUM(gw_tunnel_flag);
KEEP_ENUM(gw_sweeper);
KEEP_ENUM(gw_sweep_what);
KEEP_ENUM(gw_saved_hold);
KEEP_ENUM(gw_saved_result);
KEEP_ENUM(gw_log_kind);
KEEP_ENUM(gw_counter);
KEEP_STRUCT(gw_device);
KEEP_STRUCT(gw_settings);
KEEP_STRUCT(gw_tuple);
KEEP_STRUCT(gw_session_key);
KEEP_STRUCT(gw_bucket);
KEEP_STRUCT(gw_traffic);
KEEP_STRUCT(gw_session);
KEEP_STRUCT(gw_record);
KEEP_STRUCT(gw_mapping);
KEEP_STRUCT(gw_endpoint);
KEEP_STRUCT(gw_host);
KEEP_STRUCT(gw_static_key);
KEEP_STRUCT(gw_backend);
KEEP_STRUCT(gw_static);
KEEP_STRUCT(gw_fdb_key);
KEEP_STRUCT(gw_fdb_entry);
KEEP_STRUCT(gw_vtep_address);
KEEP_STRUCT(gw_vni_key);
KEEP_STRUCT(gw_vni);
KEEP_STRUCT(gw_vtep_key);
KEEP_STRUCT(gw_vtep);
KEEP_STRUCT(gw_tunnel);
KEEP_STRUCT(gw_flood_key);
KEEP_STRUCT(gw_flood);
KEEP_STRUCT(gw_prefix);
KEEP_STRUCT(gw_handover);
KEEP_STRUCT(gw_status);
KEEP_STRUCT(gw_sweep);
KEEP_STRUCT(gw_saved);
KEEP_STRUCT(gw_pick);
KEEP_STRUCT(gw_batch);
KEEP_STRUCT(gw_log_event);
KEEP_STRUCT(gw_port_counters);
