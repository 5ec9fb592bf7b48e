// SPDX-License-Identifier: GPL-2.0-or-later
/* Somebody else's XDP program: lets everything through. */
#include <linux/bpf.h>

__attribute__((section("xdp"), used)) int
foreign(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
