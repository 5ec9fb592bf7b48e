// SPDX-License-Identifier: GPL-2.0-or-later
/* Hands TC frames as gw_xdp would: the metadata is what a test put in front of the frame. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "gw_abi.h"

SEC("xdp")
int
marked(struct xdp_md *ctx)
{
	const int size = sizeof(struct gw_handover);
	struct gw_handover mark, *handover;

	if (bpf_xdp_load_bytes(ctx, 0, &mark, size) || mark.magic != GW_HANDOVER_MAGIC)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, size) || bpf_xdp_adjust_meta(ctx, -size))
		return XDP_ABORTED;
	handover = (void *)(long)ctx->data_meta;
	if ((void *)(handover + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	*handover = mark;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
