/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of the packet before, on this core: the next one mostly belongs to the same session, and
 * asking the kernel's FIB is half of what a packet costs. An answer counts until the coarse clock
 * ticks, a few milliseconds at most, which is less than packets wait in queues; so routes,
 * neighbours and stations are asked about, not copied.
 */
#ifndef GW_MEMO_H
#define GW_MEMO_H
#include "delivery.h"

struct memo {
	__u64 now; /* the tick of the answer */
	__u32 ref; /* of the session */
	__u32 claim; /* that its record had */
	__u32 ingress;
	__u32 egress; /* ifindex of the L3 device that it left by */
	__u16 length; /* of the packet that fitted */
	__u16 row; /* of the port that it left by */
	__u16 tunnel; /* or the tunnel, see struct outcome */
	__u8 tos;
	__u8 pad;
	__u8 macs[2 * ETH_ALEN]; /* as they begin the frame */
	__u32 pad2;
};

/* Written by XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct memo);
} gw_memo SEC(".maps");

static __always_inline struct memo *
memo(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gw_memo, &zero);
}

static __always_inline bool
memo_holds(const struct memo *m, const struct packet *pkt, const struct gw_session *session,
	   __u32 ref, __u64 now)
{
	return m->now == now && m->ref == ref && m->claim == session->claim &&
	       m->ingress == pkt->ingress && m->tos == pkt->tos && pkt->ip_length <= m->length;
}

static __always_inline void
memo_take(struct memo *m, const struct packet *pkt, const struct gw_session *session, __u32 ref,
	  const struct outcome *out)
{
	m->now = out->now;
	m->ref = ref;
	m->claim = session->claim;
	m->ingress = pkt->ingress;
	m->tos = pkt->tos;
	m->length = pkt->ip_length;
	m->row = out->row;
	m->tunnel = out->tunnel;
	m->egress = out->ifindex;
}

static __always_inline bool
memo_macs(struct xdp_md *ctx, const struct memo *m)
{
	void *data = (void *)(long)ctx->data;

	if (data + sizeof(m->macs) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(data, m->macs, sizeof(m->macs));
	return true;
}
#endif
