/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TAP of a port: an existing persistent one, which the agent made. */
#ifndef GW_TAP_H
#define GW_TAP_H

#include <stdint.h>

#include <rte_ether.h>

/* Non-blocking file descriptor, or -errno with a sentence; -EBUSY when another has it open. */
int gw_tap_open(const char *name, uint32_t *ifindex, struct rte_ether_addr *mac, uint32_t *mtu);

/* TUNSETCARRIER. */
int gw_tap_carrier(int fd, int up);

#endif
