// SPDX-License-Identifier: GPL-2.0-or-later
/* XDP links and TC filters: see gw_native.h. libbpf 1.1 and later. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include "gw_native.h"

int
gw_xdp_link(int program, int ifindex, int generic)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);

	return bpf_link_create(program, ifindex, BPF_XDP, &options);
}

int
gw_link_update(int link, int program)
{
	return bpf_link_update(link, program, NULL);
}

int
gw_link_detach(int link)
{
	return bpf_link_detach(link);
}

int
gw_link_info(int link, __u32 *ifindex, __u32 *program_id)
{
	struct bpf_link_info kernel = {};
	__u32 size = sizeof(kernel);
	int result = bpf_obj_get_info_by_fd(link, &kernel, &size);

	*ifindex = kernel.xdp.ifindex;
	*program_id = kernel.prog_id;
	return result;
}

int
gw_xdp_query(int ifindex, __u32 *program_id, __u32 *mode)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, options);
	int result = bpf_xdp_query(ifindex, 0, &options);

	*program_id = options.prog_id;
	*mode = options.attach_mode;
	/* Several modes at once have no prog_id of their own. */
	if (!*program_id)
		*program_id = options.drv_prog_id ? options.drv_prog_id : options.skb_prog_id;
	return result;
}

static void
tc_hook(struct bpf_tc_hook *hook, int ifindex, int egress)
{
	*hook = (struct bpf_tc_hook){
		.sz = sizeof(*hook),
		.ifindex = ifindex,
		.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS,
	};
}

int
gw_tc_prepare(int ifindex)
{
	struct bpf_tc_hook hook;
	int result;

	tc_hook(&hook, ifindex, 0);
	result = bpf_tc_hook_create(&hook);
	if (result == -EEXIST)
		return 0;
	return result ? result : 1;
}

int
gw_tc_attach(int ifindex, int egress, int program, __u32 handle, __u32 priority)
{
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE,
		    .handle = handle, .priority = priority);
	struct bpf_tc_hook hook;

	tc_hook(&hook, ifindex, egress);
	return bpf_tc_attach(&hook, &options);
}

int
gw_tc_detach(int ifindex, int egress, __u32 handle, __u32 priority)
{
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
	struct bpf_tc_hook hook;

	tc_hook(&hook, ifindex, egress);
	return bpf_tc_detach(&hook, &options);
}

int
gw_tc_query(int ifindex, int egress, __u32 handle, __u32 priority, __u32 *program_id)
{
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
	struct bpf_tc_hook hook;
	int result;

	tc_hook(&hook, ifindex, egress);
	result = bpf_tc_query(&hook, &options);
	*program_id = options.prog_id;
	return result;
}

int
gw_tc_remove(int ifindex)
{
	struct bpf_tc_hook hook;

	tc_hook(&hook, ifindex, 0);
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	return bpf_tc_hook_destroy(&hook);
}

/*
 * Four instructions, written out: `return bpf_redirect(ifindex, BPF_F_INGRESS)` with a number in
 * it that an object would need a map for.
 */
int
gw_heard_program(int ifindex)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = ifindex},
		{.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = BPF_F_INGRESS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "gw_heard", "GPL", code,
			     sizeof(code) / sizeof(code[0]), NULL);
}
