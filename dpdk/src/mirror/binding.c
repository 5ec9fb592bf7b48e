/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bindings of MAC to IP addresses: the neighbours of our bridges that a control plane has put there
 * (NTF_EXT_LEARNED), from which ARP and neighbour discovery can be answered (RFC 9161).
 */
#include <string.h>

#include "../worker.h"
#include "parts.h"

static enum step
step_of(enum family family)
{
	return family == FAMILY4 ? STEP_NEIGHBOURS4 : STEP_NEIGHBOURS6;
}

static struct gw_binding_key
table_key(const struct binding *binding)
{
	struct gw_binding_key key = {
		.bridge = slot_of(binding->key.bridge),
		.family = binding->key.family == FAMILY4 ? 4 : 6,
	};

	memcpy(key.address, binding->key.address, sizeof(key.address));
	return key;
}

static void
crowd(struct binding *binding, bool on)
{
	mirror.crowded.bindings += on - binding->crowded;
	binding->crowded = on;
}

static void
unlist(struct binding *binding)
{
	const struct gw_binding_key key = table_key(binding);

	crowd(binding, false);
	if (binding->listed)
		gw_binding_delete(&key);
	mirror.listed.bindings -= binding->listed;
	binding->listed = 0;
}

static void
list(struct binding *binding)
{
	const struct gw_binding_key key = table_key(binding);
	union gw_binding value = {.router = binding->router, .valid = 1};

	memcpy(&value.mac, binding->mac, sizeof(value.mac));
	if (gw_binding_set(&key, value)) {
		unlist(binding);
		crowd(binding, true);
		return;
	}
	crowd(binding, false);
	mirror.listed.bindings += !binding->listed;
	binding->listed = 1;
}

static bool
is_of_bridge(const struct binding_key *key)
{
	return gw_bindings && gw_interfaces[slot_of(key->bridge)].flags & GW_IF_BRIDGE;
}

static struct binding *
binding_get(const struct binding_key *key)
{
	struct binding *binding = table_find(&mirror.bindings, key);

	if (!binding)
		binding = table_add(&mirror.bindings, key, NULL);
	if (!binding)
		mirror.failed = true;
	return binding;
}

void
binding_seen(const struct binding_key *key, const uint8_t *mac, bool router)
{
	struct binding *binding = is_of_bridge(key) ? binding_get(key) : NULL;

	if (!binding || !stamp_news(&binding->stamp, step_of(key->family)))
		return;
	if (binding->listed && binding->router == router &&
	    !memcmp(binding->mac, mac, sizeof(binding->mac)))
		return;
	memcpy(binding->mac, mac, sizeof(binding->mac));
	binding->router = router;
	list(binding);
}

static void
drop(struct binding *binding)
{
	unlist(binding);
	table_remove(&mirror.bindings, binding);
}

void
binding_gone(const struct binding_key *key)
{
	struct binding *binding = table_find(&mirror.bindings, key);

	// What a dump does not call a binding any more goes at its end.
	if (dump_decoding() || !is_of_bridge(key))
		return;
	if (!binding && dump_of(step_of(key->family)))
		binding = binding_get(key);
	if (!binding)
		return;
	if (stamp_gone(&binding->stamp, step_of(key->family)))
		drop(binding);
	else
		unlist(binding);
}

void
bindings_sweep(enum family family)
{
	struct binding *binding;

	for (uint32_t i = 0; (binding = table_walk(&mirror.bindings, &i));)
		if (binding->key.family == family && !stamp_swept(&binding->stamp, step_of(family)))
			drop(binding);
}

void
bindings_forget(uint32_t bridge)
{
	struct binding *binding;

	for (uint32_t i = 0; (binding = table_walk(&mirror.bindings, &i));)
		if (binding->key.bridge == bridge)
			drop(binding);
}

void
bindings_retry(void)
{
	struct binding *binding;

	for (uint32_t i = 0; (binding = table_walk(&mirror.bindings, &i));)
		if (binding->crowded)
			list(binding);
}
