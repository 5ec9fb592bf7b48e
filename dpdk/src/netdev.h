/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's device below an af_packet or af_xdp port. */
#ifndef GW_NETDEV_H
#define GW_NETDEV_H

#include <stdint.h>

/* 0: it exists no more. */
int gw_netdev_exists(uint32_t ifindex);
/* Whether it has carrier and is up. */
int gw_netdev_running(uint32_t ifindex);

/* The packet or XDP socket that the driver has opened on it for the port, or -1. */
int gw_netdev_socket(uint32_t ifindex);

/* Frames for every group are let through as long as the socket is open. */
int gw_netdev_hear_groups(uint32_t ifindex, int socket);

#endif
