/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What became of a frame; each reason is a counter, by the port that the frame came in by, and
 * each frame counts once, where it ends: what the driver did not take is dropped and was not
 * forwarded. The list is the one place where they are named.
 */
#ifndef GW_COUNTERS_H
#define GW_COUNTERS_H

#define GW_COUNTERS(X)                                                                             \
	X(FORWARD_IP4) /* routed by the worker */                                                  \
	X(FORWARD_IP6)                                                                             \
	X(FORWARD_BRIDGE) /* bridged by the worker */                                              \
	X(VXLAN_ENCAP) /* sent to a VTEP */                                                        \
	X(VXLAN_DECAP) /* came from a VTEP, bridged */                                             \
	X(VXLAN_FLOOD) /* replicated: to each VTEP of its segment, and to ports */                 \
	X(VXLAN_COPY) /* one such copy, beside the frame itself */                                 \
	X(VXLAN_HEARD) /* one more, which the host hears by its bridge */                          \
	X(VXLAN_CUT) /* a further piece of an outer packet that was cut */                         \
	X(VXLAN_PIECE) /* came as a piece, and waited for the others */                            \
	X(ANSWERED_ARP) /* from what is known of the bridge's neighbours */                        \
	X(ANSWERED_ND)                                                                             \
	X(FROM_KERNEL) /* sent by the kernel on the TAP, left by this port */                      \
	/* to the kernel, by the TAP of the port that they came in by, unmodified */               \
	X(PUNT_NO_ROUTE) /* the kernel answers with an ICMP error */                               \
	X(PUNT_LOCAL) /* for an address of this host */                                            \
	X(PUNT_UNREACHABLE) /* unreachable or prohibit route: the kernel answers */                \
	X(PUNT_OTHER_DEVICE) /* leaves by a device that is not ours */                             \
	X(PUNT_NEIGHBOUR) /* next hop not resolved: the kernel resolves it */                      \
	X(PUNT_TTL) /* the kernel says time exceeded */                                            \
	X(PUNT_TOO_BIG) /* larger than the way out: the kernel fragments or answers */             \
	X(PUNT_REDIRECT) /* leaves as it came: the kernel may send a redirect */                   \
	X(PUNT_OPTIONS) /* IPv4 options, IPv6 hop-by-hop */                                        \
	X(PUNT_MULTICAST) /* group or broadcast destination */                                     \
	X(PUNT_LINK_LOCAL) /* IPv6 link-local address */                                           \
	X(PUNT_ARP)                                                                                \
	X(PUNT_ETHERTYPE) /* anything else that is not IP */                                       \
	X(PUNT_VLAN) /* tagged */                                                                  \
	X(PUNT_SOURCE) /* a source that the kernel judges: loopback, group, 0.0.0.0, our own */    \
	X(PUNT_NOT_FORWARDING) /* forwarding is off on the device */                               \
	X(PUNT_RP_FILTER) /* no way back to the source: the kernel judges */                       \
	X(PUNT_POLICY) /* policy routing, or a full table: the kernel forwards it all */           \
	X(PUNT_BRIDGE_MISS) /* destination or source not in the FDB, or at a kernel port */        \
	X(PUNT_PROMISCUOUS) /* for another host, and somebody listens */                           \
	X(PUNT_MALFORMED) /* header that makes no sense: the kernel counts it as it does */        \
	X(PUNT_LEARN) /* VXLAN around a frame whose source the FDB does not have there */          \
	X(PUNT_VXLAN) /* VXLAN that the kernel takes: a VNI of its own, IP options */              \
	/* dropped */                                                                              \
	X(DROP_SHORT) /* less than an Ethernet header, or than its own length says */              \
	X(DROP_NOT_FOR_US) /* another host's MAC address */                                        \
	X(DROP_BLACKHOLE) /* by a blackhole route */                                               \
	X(DROP_PORT_DOWN) /* the port is down, going in or out */                                  \
	X(DROP_BRIDGE_STATE) /* spanning tree: not forwarding */                                   \
	X(DROP_SAME_PORT) /* bridged back to where it came from */                                 \
	X(DROP_PUNT_FULL) /* the kernel does not take it as fast as it comes */                    \
	X(DROP_TAP) /* the TAP refused it: down, or too long */                                    \
	X(DROP_TX_FULL) /* the port does not take it as fast as it comes */                        \
	X(DROP_TX_TOO_LONG) /* longer than the port can send */                                    \
	X(DROP_VXLAN) /* VXLAN without a VNI, or without a whole inner frame */                    \
	X(DROP_VNI) /* VXLAN to one of our VTEP addresses with a VNI that nobody has */            \
	X(DROP_VTEP) /* VXLAN from a sender that is not a VTEP of its VNI */                       \
	X(DROP_CHECKSUM) /* of VXLAN's UDP, where it has one */                                    \
	X(DROP_INNER) /* VXLAN around a frame that no bridge may pass on */                        \
	X(DROP_ECN) /* met congestion around a packet that cannot say so (RFC 6040) */             \
	X(DROP_SPLIT_HORIZON) /* from a VTEP to a VTEP of the same segment */                      \
	X(DROP_PIECES) /* pieces that overlap, are too many, or do not fit together */             \
	X(DROP_PIECES_LATE) /* of a packet whose other pieces did not come, or without room */     \
	X(DROP_NO_BUFFER)

enum gw_counter {
#define GW_COUNTER_ENUM(name) GW_##name,
	GW_COUNTERS(GW_COUNTER_ENUM)
#undef GW_COUNTER_ENUM
		GW_COUNTER_COUNT,
};

#endif
