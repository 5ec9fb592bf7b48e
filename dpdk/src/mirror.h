/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows the kernel by rtnetlink: links, addresses, neighbours, routes, rules, forwarding
 * switches, bridges and their FDB. Owns a thread, which also calls gw_ports_watch() every second
 * and tells the kernel which neighbours and stations were used.
 */
#ifndef GW_MIRROR_INTERNAL_H
#define GW_MIRROR_INTERNAL_H

#include "gw_worker.h"

/* Of the calling thread's network namespace; returns after the first dump. */
int gw_mirror_start(void);
void gw_mirror_stop(void);

/* A port came or went: with gw_control held. Its TAP, addresses and routes are looked at anew. */
void gw_mirror_port_added(uint16_t port);
void gw_mirror_port_removed(uint16_t port);

#endif
