// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The TC programs. The guard stands at the outside port's egress and keeps inside source
 * addresses in, whatever became of XDP, the agent and the owner's nftables. The hand-over stands
 * at every port's ingress and sends what XDP translated but could not send.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "counters.h"
#include "cut.h"
#include "replay.h"
#include "tunnel_egress.h"

enum { AF_INET = 2 };

const volatile __u32 gw_abi_version SEC(".rodata") = GW_ABI_VERSION;

static __always_inline bool
is_inside(__u32 ifindex)
{
	struct gw_device *dev = device(ifindex);

	return dev && dev->flags & GW_DEV_INSIDE;
}

/* Is this the source of an identity mapping: an endpoint that the owner wants to leave as it is? */
static __always_inline bool
is_identity(struct __sk_buff *skb, const struct iphdr *ip)
{
	struct gw_static_key key = {
		.length = GW_STATIC_PORT,
		.address = ip->saddr,
		.protocol = ip->protocol,
	};
	struct gw_static *found;

	/* A later fragment has no port: its address and protocol say enough. */
	if (ip->frag_off & bpf_htons(CUT_OFFSET))
		key.pad = GW_STATIC_LATER_PAD;
	else if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + ip->ihl * 4, &key.port,
				    sizeof(key.port)))
		return false;
	found = bpf_map_lookup_elem(&gw_static_out, &key);
	return found && found->backends[0].address == ip->saddr;
}

/* Is this an address that VXLAN arrives at, and so what leaves in tunnels has for its source? */
static __always_inline bool
is_vtep(__u32 source)
{
	struct gw_settings *nat = settings();
	struct gw_vni_key key = {.vni = GW_VNI_OTHER, .family = 4};

	if (!nat)
		return false;
	__builtin_memcpy(key.local.bytes, &source, sizeof(source));
	for (__u32 i = 0; i < sizeof(nat->vxlan_ports) / sizeof(nat->vxlan_ports[0]); i++) {
		key.port = nat->vxlan_ports[i];
		if (key.port && bpf_map_lookup_elem(&gw_vnis, &key))
			return true;
	}
	return false;
}

/*
 * An address may leave if it is one of ours outside. It may not if the frame was received inside
 * (but for the outer packet of a tunnel, if the frame in it was), if the agent's list of what is
 * inside has it (the list outlives the device), or if the route to it leads inside.
 */
static __always_inline bool
may_leave(struct __sk_buff *skb, const struct iphdr *ip)
{
	__u32 source = ip->saddr;
	struct gw_prefix prefix = {.length = 32, .address = source};
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.ifindex = skb->ifindex,
		.ipv4_dst = source,
	};
	long found;

	if (bpf_map_lookup_elem(&gw_addresses, &source) || is_identity(skb, ip))
		return true;
	if (bpf_map_lookup_elem(&gw_inside, &prefix))
		return false;
	if (is_inside(skb->ingress_ifindex))
		return is_vtep(source);
	found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return !((found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH ||
		  found == BPF_FIB_LKUP_RET_FRAG_NEEDED) &&
		 is_inside(fib.ifindex));
}

/*
 * Everything is read from where the frame begins: what gw_tunnel and gw_handover made of a frame is
 * not what the kernel says of it (skb->protocol, its network header).
 */
SEC("tc")
int
gw_guard(struct __sk_buff *skb)
{
	struct gw_device *port = device(skb->ifindex);
	struct iphdr ip;
	__u16 type;

	if (bpf_skb_load_bytes(skb, 2 * ETH_ALEN, &type, sizeof(type)) ||
	    type != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	if (may_leave(skb, &ip))
		return TC_ACT_UNSPEC;
	/* The agent may have no use for the port any more; as long as the guard stands, it guards. */
	if (port)
		count(port->row, GW_DROP_GUARD);
	return TC_ACT_SHOT;
}

SEC("tc")
int
gw_handover(struct __sk_buff *skb)
{
	struct gw_handover *handover = (void *)(long)skb->data_meta;
	struct gw_device *port = device(skb->ifindex);
	long action = TC_ACT_SHOT;
	struct gw_handover copy;
	bool sent;
	int kept;

	if ((void *)(handover + 1) > (void *)(long)skb->data)
		return TC_ACT_UNSPEC;
	if (handover->magic != GW_HANDOVER_MAGIC)
		return TC_ACT_UNSPEC;
	/* Changing the frame takes the pointer away; and behind a veth another gateway may see it. */
	copy = *handover;
	__builtin_memset(handover, 0, sizeof(*handover));
	kept = copy.flow ? replay_kept(skb, &copy) : -1;
	if (kept >= 0) {
		sent = true;
		if (port)
			count_many(port->row, GW_FRAGMENT_REPLAYED, kept);
	} else if (copy.flags & GW_HANDOVER_TUNNELLED) {
		action = tunnel_cut(skb, copy.ifindex, copy.mtu, copy.serial);
		sent = action == TC_ACT_REDIRECT;
		if (sent && port)
			count(port->row, GW_VXLAN_CUT);
	} else if (copy.mtu) {
		sent = cut_and_send(skb, copy.ifindex, copy.mtu) == 0;
		/* No neighbour yet: the kernel asks for it and keeps the first piece. */
		if (!sent && cut_first(skb, copy.mtu) == 0) {
			action = bpf_redirect_neigh(copy.ifindex, 0, 0, 0);
			sent = action == TC_ACT_REDIRECT;
		}
	} else {
		action = bpf_redirect_neigh(copy.ifindex, 0, 0, 0);
		sent = action == TC_ACT_REDIRECT;
	}
	if (port)
		count(port->row, sent ? GW_HANDED_OVER : GW_DROP_HANDOVER);
	return action;
}

/* At a VXLAN device's egress. */
SEC("tc")
int
gw_tunnel(struct __sk_buff *skb)
{
	return tunnel_egress(skb);
}

char LICENSE[] SEC("license") = "GPL";
