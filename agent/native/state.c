// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sessions out of maps of any version: see gw_native.h. Fields are found by the names that the
 * map's BTF has, so that what an agent of another version pinned can be read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "fields.h"
#include "gw_abi.h"
#include "gw_native.h"

enum {
	PATH_SIZE = 64,
	WINDOW = 16384, /* records mapped at a time: any size of theirs makes it whole pages */
	NS = 1000000000,
};

/* What is read of a record. `must`: without it a session cannot be rebuilt. */
static const struct {
	const char *path;
	int must;
} WANTED[] = {
	{"deadline", 1},      {"claim", 1},	    {"protocol", 1},
	{"flags", 1},	      {"tcp_state", 0},	    {"fins", 0},
	{"arrives.saddr", 1}, {"arrives.daddr", 1}, {"arrives.sport", 1},
	{"arrives.dport", 1}, {"leaves.saddr", 1},  {"leaves.daddr", 1},
	{"leaves.sport", 1},  {"leaves.dport", 1},  {"slot", 0},
	{"peer", 0},	      {"created", 0},	    {"traffic.packets", 0},
	{"traffic.bytes", 0},
};

enum {
	DEADLINE,
	CLAIM,
	PROTOCOL,
	FLAGS,
	TCP_STATE,
	FINS,
	ARRIVES_SADDR,
	ARRIVES_DADDR,
	ARRIVES_SPORT,
	ARRIVES_DPORT,
	LEAVES_SADDR,
	LEAVES_DADDR,
	LEAVES_SPORT,
	LEAVES_DPORT,
	SLOT,
	PEER,
	CREATED,
	PACKETS,
	BYTES,
	FIELDS,
};

struct gw_reader {
	struct field fields[FIELDS];
	const char *window; /* records from `first` on */
	size_t length;
	int map;
	__u32 entries;
	__u32 stride;
	__u32 first;
	__u32 next;
};

static __u64
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * NS + now.tv_nsec;
}

/* ---- a reader of records ------------------------------------------------------------------ */

static int
find_fields(struct gw_reader *reader, const struct btf *btf, __u32 id, char *why, size_t room)
{
	struct field outer;
	int wrapped = !field_find(btf, id, "session.claim", &outer);

	for (int i = 0; i < FIELDS; i++) {
		struct field *field = &reader->fields[i];
		char path[PATH_SIZE];
		int result;

		snprintf(path, sizeof(path), "%s%s", wrapped ? "session." : "", WANTED[i].path);
		result = field_find(btf, id, path, field);
		if (result || field->offset + field->step + field->size > reader->stride ||
		    (field->size & (field->size - 1)) || field->size > sizeof(__u64))
			*field = (struct field){};
		if (!field->size && WANTED[i].must) {
			snprintf(why, room, "their records have no field %s", path);
			return -ENODATA;
		}
	}
	return 0;
}

static int
reader_open(struct gw_reader *reader, int map, char *why, size_t room)
{
	struct bpf_map_info info;
	struct btf *btf;
	int result;

	btf = map_btf(map, &info, &result);
	if (!btf) {
		snprintf(why, room, "their map describes no type: %s", strerror(-result));
		return result;
	}
	reader->entries = info.max_entries;
	reader->stride = (info.value_size + 7) & ~7U; /* as the kernel lays an array out */
	result = find_fields(reader, btf, info.btf_value_type_id, why, room);
	btf__free(btf);
	if (!result && !(info.map_flags & BPF_F_MMAPABLE)) {
		snprintf(why, room, "their records cannot be mapped into memory");
		result = -ENODATA;
	}
	return result;
}

struct gw_reader *
gw_reader_open(int map, __u32 fresh, char *why, size_t room)
{
	struct gw_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	/* A descriptor of its own: the reader may be in another thread than whoever closes the map. */
	reader->map = dup(map);
	if (reader->map < 0) {
		snprintf(why, room, "%s", strerror(errno));
		free(reader);
		return NULL;
	}
	if (reader_open(reader, reader->map, why, room)) {
		gw_reader_close(reader);
		return NULL;
	}
	if (fresh < reader->entries)
		reader->entries = fresh;
	return reader;
}

static void
window_close(struct gw_reader *reader)
{
	if (reader->window)
		munmap((void *)reader->window, reader->length);
	reader->window = NULL;
}

void
gw_reader_close(struct gw_reader *reader)
{
	window_close(reader);
	close(reader->map);
	free(reader);
}

void
gw_reader_rewind(struct gw_reader *reader)
{
	window_close(reader);
	reader->next = 0;
}

/* A piece at a time, so that a million records never count as memory of the agent's. */
static int
window_open(struct gw_reader *reader)
{
	__u32 count = reader->entries - reader->next;
	size_t page = sysconf(_SC_PAGESIZE);
	void *window;

	window_close(reader);
	reader->first = reader->next;
	reader->length = (size_t)(count < WINDOW ? count : WINDOW) * reader->stride;
	reader->length = (reader->length + page - 1) & ~(page - 1);
	window = mmap(NULL, reader->length, PROT_READ, MAP_SHARED, reader->map,
		      (off_t)reader->first * reader->stride);
	if (window == MAP_FAILED)
		return -errno;
	reader->window = window;
	return 0;
}

/* The next record, or NULL at the end and on an error, which *error tells. */
static const char *
next_record(struct gw_reader *reader, int *error)
{
	*error = 0;
	if (reader->next >= reader->entries)
		return NULL;
	if (!reader->window || reader->next - reader->first >= WINDOW) {
		*error = window_open(reader);
		if (*error)
			return NULL;
	}
	return reader->window + (size_t)(reader->next++ - reader->first) * reader->stride;
}

static __u64
field_of(const struct gw_reader *reader, const char *record, int which)
{
	const struct field *field = &reader->fields[which];

	return field_load(record + field->offset, field->size);
}

static int
has(const struct gw_reader *reader, int which)
{
	return reader->fields[which].size != 0;
}

static int
is_live(__u32 claim)
{
	return (claim & GW_CLAIM_MASK) == GW_CLAIM_LIVE;
}

static void
save_traffic(const struct gw_reader *reader, const char *record, struct gw_saved *saved)
{
	for (int i = 0; i < 2; i++) {
		const struct field *packets = &reader->fields[PACKETS];
		const struct field *bytes = &reader->fields[BYTES];

		saved->traffic[i].packets =
			field_load(record + packets->offset + i * packets->step, packets->size);
		saved->traffic[i].bytes =
			field_load(record + bytes->offset + i * bytes->step, bytes->size);
	}
}

static struct gw_tuple
tuple_of(const struct gw_reader *reader, const char *record, int first)
{
	return (struct gw_tuple){
		field_of(reader, record, first),
		field_of(reader, record, first + 1),
		field_of(reader, record, first + 2),
		field_of(reader, record, first + 3),
	};
}

/* What a session holds follows from its slots; where none are noted, from what it is. */
static __u32
holds_of(const struct gw_reader *reader, const char *record, __u8 flags)
{
	__u32 holds = flags & GW_SESSION_PERMIT ? GW_SAVED_PERMIT : 0;
	int mapped = has(reader, SLOT) ? field_of(reader, record, SLOT) != GW_NO_SLOT :
					 !(flags & GW_SESSION_STATIC);
	int calls = has(reader, PEER) && field_of(reader, record, PEER) != GW_NO_SLOT;

	if (mapped)
		holds |= GW_SAVED_MAPPING;
	if (calls && flags & GW_SESSION_HAIRPIN)
		holds |= GW_SAVED_PEER;
	return holds;
}

/* Returns whether the record was live all the while. */
static int
save(const struct gw_reader *reader, const char *record, __u64 now, struct gw_saved *saved)
{
	__u32 claim = field_of(reader, record, CLAIM);
	__u64 deadline = field_of(reader, record, DEADLINE);
	__u32 seconds = now / NS, created = seconds;

	if (!is_live(claim) || deadline <= now)
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*saved = (struct gw_saved){
		.left = deadline - now,
		.arrives = tuple_of(reader, record, ARRIVES_SADDR),
		.leaves = tuple_of(reader, record, LEAVES_SADDR),
		.protocol = field_of(reader, record, PROTOCOL),
		.flags = field_of(reader, record, FLAGS),
		.tcp_state = field_of(reader, record, TCP_STATE),
		.fins = field_of(reader, record, FINS),
	};
	if (!has(reader, TCP_STATE) && saved->protocol == 6)
		saved->tcp_state = GW_TCP_ESTABLISHED;
	if (has(reader, CREATED))
		created = field_of(reader, record, CREATED);
	/* Modulo 2^32: a session may be older than the clock. Its second may not have begun for us. */
	saved->age = (__s32)(seconds - created) > 0 ? seconds - created : 0;
	saved->holds = holds_of(reader, record, saved->flags);
	save_traffic(reader, record, saved);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return (__u32)field_of(reader, record, CLAIM) == claim;
}

static int
is_older(const struct gw_reader *reader, const char *record, __u32 since)
{
	return has(reader, CREATED) && (__s32)(field_of(reader, record, CREATED) - since) < 0;
}

int
gw_reader_read(struct gw_reader *reader, __u32 since, struct gw_saved *into, __u32 room)
{
	__u64 now = now_ns();
	const char *record;
	__u32 count = 0;
	int error = 0;

	while (count < room) {
		record = next_record(reader, &error);
		if (!record)
			break;
		if (since && is_older(reader, record, since))
			continue;
		count += save(reader, record, now, &into[count]);
	}
	return error ? error : (int)count;
}

int
gw_reader_count(struct gw_reader *reader)
{
	const char *record;
	int count = 0, error;

	gw_reader_rewind(reader);
	while ((record = next_record(reader, &error)))
		count += is_live(field_of(reader, record, CLAIM));
	gw_reader_rewind(reader);
	return error ? error : count;
}
