/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one gate for failures: -errno, and a sentence that says what and where. */
#ifndef GW_ERROR_H
#define GW_ERROR_H

/* Keeps the sentence for gw_worker_error() of this thread; returns -number. */
__attribute__((format(printf, 2, 3))) int gw_fail(int number, const char *format, ...);

/* Puts words before the sentence that is kept already; returns `result` unchanged. */
__attribute__((format(printf, 2, 3))) int gw_fail_in(int result, const char *format, ...);

#endif
