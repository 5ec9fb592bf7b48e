/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded into gw-worker before DPDK: every port then receives frames in pieces, as drivers with
 * header split, or with buffers smaller than a frame, may give them. The last byte of the source
 * address says where the first piece ends; the second has seven bytes, the third what is left. And
 * where the first byte of that address is 06, ports say that its checksums are right, as a NIC may
 * do that has looked at the outer ones.
 */
#define _GNU_SOURCE // RTLD_NEXT
#include <dlfcn.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { FIRST_OF_SOURCE = 6, LAST_OF_SOURCE = 11, SECOND = 7, WHOLE = 0xff, PROMISED = 0x06 };

static struct rte_mbuf *
cut(struct rte_mbuf *mbuf, uint16_t length)
{
	struct rte_mbuf *rest = rte_pktmbuf_alloc(mbuf->pool);
	uint16_t left = mbuf->data_len - length;

	if (!rest)
		return NULL;
	rte_memcpy(rte_pktmbuf_mtod(rest, void *), rte_pktmbuf_mtod_offset(mbuf, void *, length),
		   left);
	// Whoever reads on behind a piece finds this.
	memset(rte_pktmbuf_mtod_offset(mbuf, void *, length), 0xee, left);
	rest->data_len = left;
	mbuf->data_len = length;
	mbuf->next = rest;
	return rest;
}

static uint16_t
split(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, uint16_t most,
      void *nothing)
{
	(void)port, (void)queue, (void)most, (void)nothing;
	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
		const uint8_t length = frame[LAST_OF_SOURCE];
		struct rte_mbuf *rest;

		if (frame[FIRST_OF_SOURCE] == PROMISED)
			mbufs[i]->ol_flags |=
				RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		if (length == WHOLE || length >= mbufs[i]->data_len || mbufs[i]->nb_segs != 1)
			continue;
		rest = cut(mbufs[i], length);
		mbufs[i]->nb_segs += rest != NULL;
		if (rest && rest->data_len > SECOND && cut(rest, SECOND))
			mbufs[i]->nb_segs++;
	}
	return count;
}

int
rte_eth_dev_start(uint16_t port)
{
	int (*start)(uint16_t) = (int (*)(uint16_t))dlsym(RTLD_NEXT, "rte_eth_dev_start");
	int result = start(port);

	if (result == 0)
		rte_eth_add_rx_callback(port, 0, split, NULL);
	return result;
}
