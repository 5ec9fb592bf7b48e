/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DPDK's environment: CPUs, memory, and how it is told about them. */
#ifndef GW_EAL_H
#define GW_EAL_H

#include "gw_worker.h"

/* -EINVAL: a core that does not exist; -ENOMEM: too few hugepages; else what EAL says. */
int gw_eal_start(const struct gw_worker_options *options);

#endif
