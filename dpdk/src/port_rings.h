/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rings between a port's lcore and the exception thread. */
#ifndef GW_PORT_RINGS_H
#define GW_PORT_RINGS_H

#include "port.h"

/* Both of them, or none and -errno with a sentence. */
int gw_port_rings_create(struct gw_worker_port *port);
/* With the frames in them, while nobody else touches them. */
void gw_port_rings_free(struct gw_worker_port *port);

#endif
