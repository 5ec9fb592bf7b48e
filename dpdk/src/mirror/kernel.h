/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink: messages, dumps, and what the kernel is told. */
#ifndef GW_MIRROR_KERNEL_H
#define GW_MIRROR_KERNEL_H

#include <linux/netlink.h>
#include "hops.h"
#include "stations.h"

struct nlattr;

/* Attributes of a message or of a nested one by type; those of other types are left out. */
void attributes(const void *start, uint32_t length, const struct nlattr **by_type, uint32_t count);
/* An attribute's number; `otherwise`: there is none, or it is of another size. */
uint32_t attribute_u32(const struct nlattr *attr, uint32_t otherwise);
const void *attribute_bytes(const struct nlattr *attr, uint32_t size); /* NULL: not that long */

void decode_message(const struct nlmsghdr *message);
void decode_link(const struct nlmsghdr *message);
void decode_switches(const struct nlmsghdr *message);
void decode_neighbour(const struct nlmsghdr *message);
void decode_route(const struct nlmsghdr *message);
void decode_object(const struct nlmsghdr *message);

void rules_begin(enum family family);
void rules_message(const struct nlmsghdr *message);
void rules_end(enum family family);

/* Another dump of these steps, soon. */
void dump_want(uint32_t steps);
/* Likewise, and once more later: the kernel has said why before it has done what follows from it,
 * and will not say that. */
void dump_want_twice(uint32_t steps);
/* The IPv6 routes again when one of them expires, within a second. */
void dump_at_expiry(uint32_t milliseconds);
int dump_start_if_due(uint64_t now); /* ms until one is, or -1 */
/* Of what dump_fetch() has brought. False: nothing. */
bool dump_read(void);
bool dump_running(void);
bool dump_wanted(void);
void dump_reset(void);
bool dump_of(enum step step); /* whether that step is being dumped, or waits in this dump */
/* Whether what is said counts, and notes that it was said. */
bool stamp_news(struct stamp *stamp, enum step step);
/* It is said to be gone. True: it may be removed; else it has become a tombstone. */
bool stamp_gone(struct stamp *stamp, enum step step);
/* At the end of a dump: whether to keep it. */
bool stamp_swept(struct stamp *stamp, enum step step);
/* The step's look, for those that count what it has seen. */
uint8_t dump_look(enum step step);
bool dump_decoding(void);

/* dump_ask.c. What is to be asked for next; dump_fetch() asks it. */
void dump_ask(enum step step, uint32_t bridge);
void dump_ask_nothing(void);
/* Without gw_control: the next piece of the answer. False: none has come, or none is wanted. */
bool dump_fetch(void);
enum piece { PIECE_NONE, PIECE_ONE, PIECE_LAST };
/* With it: its messages. `error`: 0, or -errno that ends it. */
enum piece dump_decode(bool *interrupted, int *error);

int sockets_open(void);
void sockets_close(void);
struct nlmsghdr *request_begin(uint16_t type, uint16_t flags);
void request_end(struct nlmsghdr *message);
/* With gw_control: what was said until now is to be sent by the next call, which is without. */
void requests_collect(void);
void requests_send(void);

/* believe.c: the kernel is told what the data path uses. */
void believe_hop(struct hop *hop); /* it became a gateway */
void believe_waiting(void); /* all events were read: now */
void believe_no_more(struct hop *hop);
void believe_lost(struct hop *hop); /* the kernel's neighbour has gone */
void believe_round(uint32_t now);
void believe_nothing(void); /* at the end: what was managed is not any more */

#endif
