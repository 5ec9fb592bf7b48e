/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where DPDK 22.11 (Debian 12) and 24.11 (Debian 13) differ. */
#ifndef GW_COMPAT_H
#define GW_COMPAT_H

#include <stdint.h>

#include <rte_version.h>

/* rte_fib6 takes a type of its own for addresses since 24.11; its layout is the same. */
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#include <rte_ip6.h>
typedef struct rte_ipv6_addr gw_ip6_address;
#define GW_FIB6_ADDRESS(bytes) ((const struct rte_ipv6_addr *)(const void *)(bytes))
#else
typedef uint8_t gw_ip6_address[16];
#define GW_FIB6_ADDRESS(bytes) (bytes)
#endif

#endif
