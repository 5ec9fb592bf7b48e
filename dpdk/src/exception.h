/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way between the ports and the kernel: one thread that is no lcore reads and writes the
 * TAPs, so that the data path makes no system call and a flood of exceptions takes no time of it.
 */
#ifndef GW_EXCEPTION_H
#define GW_EXCEPTION_H

#include "port.h"
#include "tap_frame.h"

enum {
	GW_EXCEPTION_BATCH = 64, /* frames of one port and direction before the next has its turn */
	GW_EXCEPTION_MBUFS = GW_EXCEPTION_BATCH + GW_TAP_STASH, /* that it may hold */
};

int gw_exception_start(void);
void gw_exception_stop(void);

/* The thread serves the port's TAP and rings from now on, or no more once this returns. */
int gw_exception_attach(struct gw_worker_port *port);
void gw_exception_detach(struct gw_worker_port *port);

/* Around whatever the thread must not see half done: it touches no TAP meanwhile. */
void gw_exception_enter(void);
void gw_exception_leave(void);

/* By an lcore after it has put frames into a to_kernel ring; costs a call only if it sleeps. */
void gw_exception_wake(void);

#endif
