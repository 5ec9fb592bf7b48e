// SPDX-License-Identifier: GPL-2.0-or-later
/* The XDP plane: one program for every port; what a port does is data in gw_devices. VXLAN and
 * bridging come first; what is to the gateway's own MAC address is NAT's. */
#include "aside.h"
#include "decapsulate.h"
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
	handover->flags = out->verdict == GW_PUNT_TUNNEL_CUT ? GW_HANDOVER_TUNNELLED : 0;
	return XDP_PASS;
}

static __always_inline int
action(struct xdp_md *ctx, const struct outcome *out, bool encapsulated)
{
	switch (out->verdict) {
	case GW_FORWARD:
	case GW_BRIDGE:
		return bpf_redirect_map(&gw_tx, out->row, XDP_DROP);
	case GW_PUNT_NO_NEIGHBOUR:
	case GW_PUNT_FDB_MISS:
	case GW_PUNT_NOT_A_PORT:
	case GW_PUNT_CUT:
	case GW_PUNT_REPLAY:
	case GW_PUNT_TUNNEL_CUT:
		return hand_over(ctx, out);
	default:
		if (out->answered || out->verdict == GW_REPLY)
			return encapsulated ? bpf_redirect_map(&gw_tx, out->row, XDP_DROP) : XDP_TX;
		return out->verdict >= GW_DROP_MALFORMED ? XDP_DROP : XDP_PASS;
	}
}

/* Does the kernel get the packet untranslated? */
static __always_inline bool
as_it_came(enum gw_counter verdict)
{
	return verdict >= GW_PUNT_KERNEL_MODE && verdict < GW_DROP_MALFORMED &&
	       !on_its_way(verdict) && verdict != GW_PUNT_TUNNEL_CUT;
}

/* What NAT has translated goes into the tunnel that its station is behind. */
static __always_inline enum gw_counter
into_tunnel(struct xdp_md *ctx, struct outcome *out, struct passage *via)
{
	enum gw_counter sent = encapsulate(ctx, out->tunnel, via);

	if (sent == GW_BRIDGE) {
		out->row = via->row;
		return GW_FORWARD;
	}
	if (sent != GW_PUNT_TUNNEL_CUT)
		return GW_PUNT_NOT_A_PORT; /* the bridge finds the way that XDP does not know */
	out->ifindex = via->ifindex;
	out->mtu = via->mtu;
	return sent;
}

/* What NAT answers goes back into the tunnel that the packet came out of; or nowhere. */
static __always_inline enum gw_counter
back_into_tunnel(struct xdp_md *ctx, struct outcome *out, struct passage *via,
		 enum gw_counter verdict)
{
	if (encapsulate(ctx, via->tunnel, via) == GW_BRIDGE) {
		out->row = via->row;
		return verdict;
	}
	out->answered = false;
	return verdict == GW_REPLY ? GW_DROP_TTL : verdict;
}

/* The congestion that a packet out of a tunnel has met, once NAT is done with it. */
static __always_inline void
carry_congestion(struct xdp_md *ctx, const struct passage *via)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + sizeof(struct ethhdr) <= end)
		ecn_carry(data, end, via->tos);
}

static __always_inline enum gw_counter
translate(struct xdp_md *ctx, const struct gw_device *port, struct packet *pkt, struct passage *via,
	  struct outcome *out)
{
	enum gw_counter verdict = nat44(ctx, pkt, port, out);

	if (pkt->fragment == IP_MF_BIT && !on_its_way(verdict))
		flow_forget(pkt, bpf_ktime_get_coarse_ns());
	via->now = out->now;
	if (via->outer && (verdict == GW_FORWARD || on_its_way(verdict)))
		carry_congestion(ctx, via);
	if (verdict == GW_FORWARD && out->tunnel)
		verdict = into_tunnel(ctx, out, via);
	else if (via->outer && (verdict == GW_REPLY || out->answered))
		verdict = back_into_tunnel(ctx, out, via, verdict);
	/* The kernel gets what came out of a tunnel as it was: its outer headers are still there. */
	if (via->outer && as_it_came(verdict)) {
		if (bpf_xdp_adjust_head(ctx, -(int)via->outer))
			return GW_DROP_TRUNCATED;
		via->outer = 0;
	}
	return verdict;
}

/* NAT has no part in this port, which has its part in VXLAN. */
static __always_inline bool
is_aside(const struct gw_device *port, const struct gw_settings *nat)
{
	return port->flags & (GW_DEV_UNDERLAY | GW_DEV_BRIDGED) &&
	       !(port->flags & (GW_DEV_INSIDE | GW_DEV_OUTSIDE)) && nat && nat->vxlan & GW_VXLAN_ON;
}

SEC("xdp")
int
gw_xdp(struct xdp_md *ctx)
{
	struct gw_device *port = device(ctx->ingress_ifindex);
	enum gw_counter verdict = NOT_VXLAN;
	struct passage via = {};
	struct packet pkt = {};
	struct outcome out;

	if (!port)
		return XDP_PASS;
	pkt.row = port->row;
	if (port->flags & GW_DEV_UNDERLAY)
		verdict = decapsulate(ctx, port, &via);
	else if (port->flags & GW_DEV_BRIDGED)
		verdict = bridge_from_port(ctx, port, &via);
	/* The rest is written before it is read; clearing it all would be felt on every packet. */
	out.nat = settings();
	out.ifindex = out.mtu = out.flow = out.row = out.tunnel = 0;
	out.answered = false;
	if (verdict == FOR_GATEWAY)
		port = device(via.ifindex);
	if (verdict != FOR_GATEWAY && verdict != NOT_VXLAN) {
		out.ifindex = via.ifindex;
		out.mtu = via.mtu;
		out.row = via.row;
	} else if (port) {
		pkt.ingress = port->l3_ifindex;
		verdict = translate(ctx, port, &pkt, &via, &out);
		if (verdict == GW_PUNT_KERNEL_MODE && is_aside(port, out.nat))
			verdict = aside(ctx, port);
	} else {
		verdict = GW_DROP_NO_ROUTE;
	}
	if (via.outer)
		count(pkt.row, GW_VXLAN_DECAP);
	if (via.encapsulated)
		count(pkt.row, GW_VXLAN_ENCAP);
	out.verdict = verdict;
	count(pkt.row, verdict);
	return action(ctx, &out, via.encapsulated);
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
