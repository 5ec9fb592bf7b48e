/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What DPDK says: to standard error, and its reason for a failure also into our sentence. */
#ifndef GW_LOG_H
#define GW_LOG_H

/* Forgets what DPDK has said in this thread. */
void gw_log_forget(void);

/* The first line that it has said since then, which is the nearest to the cause; or "". */
const char *gw_log_said(void);

/* Nothing of this thread is written while that is on: of what is tried every second. */
void gw_log_hush(int on);

#endif
