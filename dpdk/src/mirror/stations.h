/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The FDBs of our bridges. */
#ifndef GW_MIRROR_STATIONS_H
#define GW_MIRROR_STATIONS_H

#include "facts.h"

struct station_key {
	uint32_t bridge; /* ifindex */
	uint8_t mac[6];
	uint16_t pad;
};

enum station_kind { STATION_LEARNED, STATION_STATIC, STATION_LOCAL, STATION_LOCKED };

struct station {
	uint32_t link[2]; /* table.h */
	struct station_key key;
	uint32_t port; /* ifindex */
	uint32_t seen; /* of gw_fdb_entries, when the kernel was told last */
	uint32_t told; /* s */
	uint8_t kind; /* enum station_kind */
	uint8_t listed;
	uint8_t crowded; /* no room for it */
	uint8_t ages; /* somebody forgets it that is silent */
	uint32_t device; /* VXLAN device whose segment counts it, 0: none */
	struct stamp stamp;
};

void station_seen(const struct station_key *key, uint32_t port, enum station_kind kind);
void station_gone(const struct station_key *key);
void stations_sweep(void);
void stations_of_port(uint32_t ifindex);
/* If it is there, behind that VXLAN device, whose entry for it has changed. */
void station_follow(const struct station_key *key, uint32_t port);
/* Those that found no room try again. */
void stations_retry(void);
void stations_forget(uint32_t bridge);
/* Its place in gw_fdb_entries, or negative. */
int32_t station_place(const struct station *station);

#endif
