/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netdev.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "port.h"

int
gw_netdev_exists(uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return if_indextoname(ifindex, name) != NULL;
}

int
gw_netdev_running(uint32_t ifindex)
{
	struct ifreq request = {};
	int any, result;

	if (!if_indextoname(ifindex, request.ifr_name))
		return 0;
	any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (any < 0)
		return 0;
	result = ioctl(any, SIOCGIFFLAGS, &request);
	close(any);
	return result == 0 && (request.ifr_flags & IFF_UP) && (request.ifr_flags & IFF_RUNNING);
}

static bool
claimed(int fd)
{
	for (uint16_t i = 0; i < GW_WORKER_PORTS; i++) {
		if (gw_ports[i].state != GW_PORT_FREE && gw_ports[i].wait_fd == fd)
			return true;
	}
	return false;
}

// An XDP socket does not tell its device: it is the one that no other port has.
static bool
belongs(int fd, uint32_t ifindex)
{
	struct sockaddr_ll address = {};
	socklen_t size = sizeof(int);
	int domain = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || claimed(fd))
		return false;
	if (domain == AF_XDP)
		return true;
	size = sizeof(address);
	return domain == AF_PACKET && getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	       (uint32_t)address.sll_ifindex == ifindex;
}

int
gw_netdev_socket(uint32_t ifindex)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	if (!folder)
		return -1;
	while (found < 0 && (entry = readdir(folder)) != NULL) {
		// Names that are no numbers are 0, which is no socket of a driver.
		const int fd = atoi(entry->d_name);

		if (fd > 0 && belongs(fd, ifindex))
			found = fd;
	}
	closedir(folder);
	return found;
}

int
gw_netdev_hear_groups(uint32_t ifindex, int socket)
{
	struct packet_mreq all = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_ALLMULTI};

	// An XDP socket knows nothing of this.
	return setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ?
		       -errno :
		       0;
}
