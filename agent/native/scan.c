// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking through the sessions and mappings, a million and more, for the few that somebody asks
 * about: see gw_native.h. Nothing here changes a table.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "gw_native.h"

enum {
	/* Records mapped into memory at a time, 4 MB: mapped pages count as the agent's own. */
	WINDOW = 32768,
	SLOTS = 4096, /* mappings read by one system call */
	HOSTS = 1024, /* hosts likewise; a bucket of that hash has fewer */
};

static int
in_prefix(const struct gw_match *match, __u32 address)
{
	return !((address ^ match->address) & match->mask);
}

static int
in_ports(const struct gw_match *match, __u16 port)
{
	port = ntohs(port);
	return port >= match->low && port <= match->high;
}

static int
endpoint_matches(const struct gw_match *match, __u32 address, __u16 port)
{
	return in_prefix(match, address) && in_ports(match, port);
}

/* The three endpoints, whichever side sent the first packet. */
struct ends {
	__u32 inside, outside, remote;
	__u16 inside_port, outside_port, remote_port;
};

static struct ends
ends_of(const struct gw_session *s)
{
	if (s->flags & GW_SESSION_INBOUND)
		return (struct ends){s->leaves.daddr, s->arrives.daddr, s->arrives.saddr,
				     s->leaves.dport, s->arrives.dport, s->arrives.sport};
	return (struct ends){s->arrives.saddr, s->leaves.saddr, s->arrives.daddr,
			     s->arrives.sport, s->leaves.sport, s->arrives.dport};
}

/* A call between two inside hosts has two inside and two outside endpoints; either may be meant. */
static int
ends_match(const struct gw_session *s, const struct gw_match *matches)
{
	const struct gw_match *any = &matches[GW_MATCH_ANY];
	int hairpin = s->flags & GW_SESSION_HAIRPIN;
	struct ends e = ends_of(s);

	if (!endpoint_matches(&matches[GW_MATCH_INSIDE], e.inside, e.inside_port) &&
	    !(hairpin &&
	      endpoint_matches(&matches[GW_MATCH_INSIDE], s->leaves.daddr, s->leaves.dport)))
		return 0;
	if (!endpoint_matches(&matches[GW_MATCH_OUTSIDE], e.outside, e.outside_port) &&
	    !(hairpin &&
	      endpoint_matches(&matches[GW_MATCH_OUTSIDE], s->arrives.daddr, s->arrives.dport)))
		return 0;
	if (!endpoint_matches(&matches[GW_MATCH_REMOTE], e.remote, e.remote_port))
		return 0;
	if (!in_prefix(any, e.inside) && !in_prefix(any, e.outside) && !in_prefix(any, e.remote) &&
	    !(hairpin && in_prefix(any, s->leaves.daddr)))
		return 0;
	return in_ports(any, e.inside_port) || in_ports(any, e.outside_port) ||
	       in_ports(any, e.remote_port) || (hairpin && in_ports(any, s->leaves.dport));
}

/* In seconds. `created` wraps round: a session that was carried over may be older than the clock,
 * and a new one a tick ahead of it. */
static __u32
age_of(const struct gw_session *s, __u64 now)
{
	__s32 age = (__u32)(now / 1000000000) - s->created;

	return age > 0 ? age : 0;
}

static int
session_matches(const struct gw_session *s, const struct gw_scan *scan)
{
	__u64 age = age_of(s, scan->now), left;

	if (s->deadline < scan->now)
		return 0;
	left = s->deadline - scan->now;
	if (scan->protocol && s->protocol != scan->protocol)
		return 0;
	if (scan->states && !(scan->states & 1u << s->tcp_state))
		return 0;
	if ((s->flags & scan->flags_mask) != scan->flags)
		return 0;
	if (age < scan->age_min || age > scan->age_max)
		return 0;
	if (left < scan->left_min || left > scan->left_max)
		return 0;
	return ends_match(s, scan->matches);
}

/* Smaller comes first. */
static __u64
sort_key(const struct gw_session *s, const struct gw_scan *scan)
{
	struct ends e = ends_of(s);
	__u64 key = 0;

	switch (scan->sort) {
	case GW_SORT_AGE:
		/* The same on every page, that is not the age but when the session began. */
		key = ~(scan->now / 1000000000 + (1ULL << 32) - age_of(s, scan->now));
		break;
	case GW_SORT_LEFT:
		key = s->deadline;
		break;
	case GW_SORT_BYTES:
		key = s->traffic[0].bytes + s->traffic[1].bytes;
		break;
	case GW_SORT_PACKETS:
		key = s->traffic[0].packets + s->traffic[1].packets;
		break;
	case GW_SORT_INSIDE:
		key = (__u64)ntohl(e.inside) << 16 | ntohs(e.inside_port);
		break;
	case GW_SORT_OUTSIDE:
		key = (__u64)ntohl(e.outside) << 16 | ntohs(e.outside_port);
		break;
	case GW_SORT_REMOTE:
		key = (__u64)ntohl(e.remote) << 16 | ntohs(e.remote_port);
		break;
	}
	return scan->descending ? ~key : key;
}

static int
comes_before(const struct gw_scan_hit *a, const struct gw_scan_hit *b)
{
	return a->key < b->key || (a->key == b->key && a->index < b->index);
}

/* A heap whose root is the hit that comes last: puts `hit` in the place of `at` or below it. */
static void
sift_down(struct gw_scan_hit *hits, __u32 count, __u32 at, const struct gw_scan_hit *hit)
{
	for (;;) {
		__u32 child = 2 * at + 1;

		if (child + 1 < count && comes_before(&hits[child], &hits[child + 1]))
			child++;
		if (child >= count || !comes_before(hit, &hits[child]))
			break;
		hits[at] = hits[child];
		at = child;
	}
	hits[at] = *hit;
}

static void
heap_add(struct gw_scan *scan, struct gw_scan_hit *hits, const struct gw_scan_hit *hit)
{
	__u32 at;

	if (scan->found == scan->limit) {
		if (scan->limit && comes_before(hit, &hits[0]))
			sift_down(hits, scan->found, 0, hit);
		return;
	}
	for (at = scan->found++; at && comes_before(&hits[(at - 1) / 2], hit); at = (at - 1) / 2)
		hits[at] = hits[(at - 1) / 2];
	hits[at] = *hit;
}

static void
heap_sort(struct gw_scan_hit *hits, __u32 count)
{
	while (count > 1) {
		struct gw_scan_hit last = hits[--count];

		hits[count] = hits[0];
		sift_down(hits, count, 0, &last);
	}
}

/* Returns 1 when the page is full. */
static int
take(struct gw_scan *scan, struct gw_scan_hit *hits, __u32 index, const struct gw_session *session)
{
	struct gw_scan_hit hit = {.index = index, .session = *session};

	if (scan->sort == GW_SORT_NONE) {
		if (scan->limit && scan->found == scan->limit) {
			scan->next = index;
			return 1;
		}
		scan->matched++;
		if (scan->limit)
			hits[scan->found++] = hit;
		return 0;
	}
	hit.key = sort_key(session, scan);
	/* What an earlier page had. */
	if (scan->resume && (hit.key < scan->after_key ||
			     (hit.key == scan->after_key && index <= scan->after_index)))
		return 0;
	scan->matched++;
	heap_add(scan, hits, &hit);
	return 0;
}

/* A copy of the session if it lives, and lived all the time while it was copied. */
static int
copy_live(const struct gw_record *record, struct gw_session *session)
{
	__u32 claim = __atomic_load_n(&record->session.claim, __ATOMIC_ACQUIRE);

	if ((claim & GW_CLAIM_MASK) != GW_CLAIM_LIVE)
		return 0;
	*session = record->session;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	session->claim = claim;
	return __atomic_load_n(&record->session.claim, __ATOMIC_RELAXED) == claim;
}

int
gw_scan_sessions(int records, struct gw_scan *scan, struct gw_scan_hit *hits)
{
	struct gw_session session;

	scan->found = scan->matched = 0;
	scan->next = GW_NO_SLOT;
	for (__u32 at = scan->from; at < scan->end;) {
		__u32 start = at / WINDOW * WINDOW;
		__u32 count = scan->end - start < WINDOW ? scan->end - start : WINDOW;
		size_t size = count * sizeof(struct gw_record);
		struct gw_record *window = mmap(NULL, size, PROT_READ, MAP_SHARED, records,
						(off_t)start * sizeof(struct gw_record));
		int full = 0;

		if (window == MAP_FAILED)
			return -errno;
		for (; at < start + count && !full; at++)
			full = copy_live(&window[at - start], &session) &&
			       session_matches(&session, scan) && take(scan, hits, at, &session);
		munmap(window, size);
		if (full)
			return 0;
	}
	if (scan->sort != GW_SORT_NONE)
		heap_sort(hits, scan->found);
	return 0;
}

int
gw_write_picks(int picks, const struct gw_scan_hit *hits, __u32 count)
{
	struct gw_pick values[GW_BATCH_MAX];
	__u32 keys[GW_BATCH_MAX];

	if (count > GW_BATCH_MAX)
		return -E2BIG;
	for (__u32 i = 0; i < count; i++) {
		keys[i] = i;
		values[i] = (struct gw_pick){hits[i].index, hits[i].session.claim};
	}
	if (count && bpf_map_update_batch(picks, keys, values, &count, NULL))
		return -errno;
	return 0;
}

/* Up to SLOTS mappings from `slot` on; returns how many were read. */
static int
read_mappings(int mappings, __u32 slot, __u32 count, struct gw_mapping *block)
{
	__u32 keys[SLOTS], previous = slot - 1, next, read = count < SLOTS ? count : SLOTS;

	if (bpf_map_lookup_batch(mappings, slot ? &previous : NULL, &next, keys, block, &read,
				 NULL) &&
	    errno != ENOENT)
		return -errno;
	return read ? (int)read : -ENOENT;
}

static int
mapping_matches(const struct gw_mapping *mapping, __u32 slot, const struct gw_mapping_scan *scan)
{
	__u32 group = slot >> 16;
	__u16 port = htons((__u16)slot);

	if (!mapping->users)
		return 0;
	if (!(scan->pools & 1u << group / GW_NAT_PROTOCOLS) ||
	    !(scan->protocols & 1u << group % GW_NAT_PROTOCOLS))
		return 0;
	return endpoint_matches(&scan->inside, mapping->inside_address, mapping->inside_port) &&
	       in_ports(&scan->outside, port);
}

int
gw_scan_mappings(int mappings, struct gw_mapping_scan *scan, struct gw_mapping_hit *hits)
{
	struct gw_mapping block[SLOTS];

	scan->found = scan->matched = 0;
	scan->next = GW_NO_SLOT;
	for (__u32 slot = scan->from; slot < scan->end;) {
		int read = read_mappings(mappings, slot, scan->end - slot, block);

		if (read < 0)
			return read;
		for (int i = 0; i < read; i++, slot++) {
			if (!mapping_matches(&block[i], slot, scan))
				continue;
			if (scan->limit && scan->found == scan->limit) {
				scan->next = slot;
				return 0;
			}
			scan->matched++;
			if (scan->limit)
				hits[scan->found++] = (struct gw_mapping_hit){slot, block[i]};
		}
	}
	return 0;
}

static void
count_port(struct gw_port_use *use, const struct gw_mapping *mapping, int in_range, __u32 now,
	   __u32 rest)
{
	if (mapping->users) {
		use->used++;
		use->used_in_range += in_range;
	} else if (in_range && mapping->released && now - mapping->released < rest) {
		use->resting++;
	}
}

int
gw_count_ports(int mappings, __u32 slots, const struct gw_settings *nat, __u32 now,
	       struct gw_port_use *uses)
{
	__u32 rest = nat->port_rest / 1000000000;
	struct gw_mapping block[SLOTS];

	for (__u32 slot = 0; slot < slots;) {
		int read = read_mappings(mappings, slot, slots - slot, block);

		if (read < 0)
			return read;
		for (int i = 0; i < read; i++, slot++) {
			__u32 port = slot & 0xffff;

			count_port(&uses[slot >> 16], &block[i],
				   port >= nat->port_low && port <= nat->port_high, now, rest);
		}
	}
	return 0;
}

int
gw_count_hosts(int hosts, const struct gw_settings *nat, struct gw_host_use *use)
{
	struct gw_host values[HOSTS];
	__u32 keys[HOSTS], place, count;
	int result, first = 1;

	memset(use, 0, sizeof(*use));
	do {
		count = HOSTS;
		result = bpf_map_lookup_batch(hosts, first ? NULL : &place, &place, keys, values,
					      &count, NULL);
		if (result && errno != ENOENT)
			return -errno;
		first = 0;
		for (__u32 i = 0; i < count; i++) {
			use->hosts += values[i].users > 0;
			use->at_limit += values[i].users >= nat->host_sessions ||
					 values[i].ports >= nat->host_ports;
		}
	} while (!result);
	return 0;
}
