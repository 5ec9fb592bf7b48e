// SPDX-License-Identifier: GPL-2.0-or-later
/* The XDP plane: one program for every port; what a port does is data in gw_devices. */
#include "import.h"
#include "nat44.h"
#include "remove.h"
#include "sweep.h"

/* Loaded from BTF by the agent and compared before pinned maps are reused. */
const volatile __u32 gw_abi_version SEC(".rodata") = GW_ABI_VERSION;

/* Leaves the way out in front of the frame for the TC program gw_handover. */
static __always_inline int
hand_over(struct xdp_md *ctx, const struct outcome *out)
{
	struct gw_handover *handover;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*handover)))
		return XDP_DROP;
	handover = (void *)(long)ctx->data_meta;
	if ((void *)(handover + 1) > (void *)(long)ctx->data)
		return XDP_DROP;
	handover->magic = GW_HANDOVER_MAGIC;
	handover->ifindex = out->ifindex;
	handover->mtu = out->mtu;
	handover->serial = out->mtu || out->flow ? bpf_get_prandom_u32() : 0;
	handover->flow = out->flow;
	handover->flags = 0;
	return XDP_PASS;
}

static __always_inline int
action(struct xdp_md *ctx, const struct outcome *out)
{
	switch (out->verdict) {
	case GW_FORWARD:
		return bpf_redirect_map(&gw_tx, out->row, XDP_DROP);
	case GW_REPLY:
		return XDP_TX;
	case GW_PUNT_NO_NEIGHBOUR:
	case GW_PUNT_FDB_MISS:
	case GW_PUNT_NOT_A_PORT:
	case GW_PUNT_CUT:
	case GW_PUNT_REPLAY:
		return hand_over(ctx, out);
	default:
		if (out->answered)
			return XDP_TX;
		return out->verdict >= GW_DROP_MALFORMED ? XDP_DROP : XDP_PASS;
	}
}

SEC("xdp")
int
gw_xdp(struct xdp_md *ctx)
{
	struct gw_device *port = device(ctx->ingress_ifindex);
	struct packet pkt = {};
	struct outcome out;

	if (!port)
		return XDP_PASS;
	/* The rest is written before it is read; clearing it all would be felt on every packet. */
	out.ifindex = out.mtu = out.flow = out.row = 0;
	out.answered = false;
	pkt.ingress = port->l3_ifindex;
	pkt.row = port->row;
	out.verdict = nat44(ctx, &pkt, port, &out);
	if (pkt.fragment == IP_MF_BIT && !on_its_way(out.verdict))
		flow_forget(&pkt, bpf_ktime_get_coarse_ns());
	count(port->row, out.verdict);
	return action(ctx, &out);
}

/* Run once by the agent after loading: starts the timer, or gives a running one this program. */
SEC("xdp")
int
gw_sweep_start(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct sweep_timer *slot = bpf_map_lookup_elem(&gw_timer, &zero);

	if (!slot)
		return XDP_ABORTED;
	bpf_timer_init(&slot->timer, &gw_timer, CLOCK_MONOTONIC_ID);
	if (bpf_timer_set_callback(&slot->timer, sweep_tick))
		return XDP_ABORTED;
	return bpf_timer_start(&slot->timer, SWEEP_NEXT_NS, 0) ? XDP_ABORTED : XDP_PASS;
}

/* Run by the agent: one slice as gw_sweeps[GW_SWEEPER_AGENT] asks. */
SEC("xdp")
int
gw_sweep_slice(struct xdp_md *ctx)
{
	__u32 mine = GW_SWEEPER_AGENT;
	struct gw_sweep *sweep = bpf_map_lookup_elem(&gw_sweeps, &mine);

	if (!sweep)
		return XDP_ABORTED;
	sweep_slice(mine, sweep);
	return XDP_PASS;
}

/* Run by the agent: takes over gw_saved_batch, as far as gw_batch says. */
SEC("xdp")
int
gw_import(struct xdp_md *ctx)
{
	return import_batch() ? XDP_PASS : XDP_ABORTED;
}

/* Run by the agent: ends the sessions of gw_picks, as far as gw_batch says. */
SEC("xdp")
int
gw_remove(struct xdp_md *ctx)
{
	return remove_batch() ? XDP_PASS : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
