/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the driver of memif leaves to its users. */
#ifndef GW_MEMIF_H
#define GW_MEMIF_H

#include <stdbool.h>

/* Whether the vdev string is that of a memif which connects to another; clients are the default. */
bool gw_memif_is_client(const char *device);

/*
 * Removes the socket's file if the vdev string is that of a memif which listens, and nobody does:
 * a worker that was killed leaves it, and the driver takes it for another's.
 */
void gw_memif_tidy(const char *device);

#endif
