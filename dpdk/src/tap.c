/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "error.h"

// TUNSETIFF would make a device that does not exist, and one that dies with us.
static int
attach(int fd, const char *name, uint32_t *ifindex)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	*ifindex = if_nametoindex(name);
	if (*ifindex == 0)
		return gw_fail(ENODEV, "there is no TAP %s", name);
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &request) == 0)
		return 0;
	if (errno == EBUSY)
		return gw_fail(EBUSY, "another process has TAP %s open", name);
	if (errno == EINVAL)
		return gw_fail(EINVAL, "%s is a device of another kind than a TAP", name);
	return gw_fail(errno, "TAP %s: %s", name, strerror(errno));
}

static int
describe(int fd, const char *name, struct rte_ether_addr *mac, uint32_t *mtu)
{
	struct ifreq request = {};
	int any, failed;

	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return gw_fail(errno, "address of TAP %s: %s", name, strerror(errno));
	memcpy(mac, request.ifr_hwaddr.sa_data, sizeof(*mac));
	// The TAP itself does not answer this one, any socket of its namespace does.
	any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (any < 0)
		return gw_fail(errno, "a socket: %s", strerror(errno));
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	failed = ioctl(any, SIOCGIFMTU, &request) < 0 ? errno : 0;
	close(any);
	if (failed)
		return gw_fail(failed, "MTU of TAP %s: %s", name, strerror(failed));
	*mtu = request.ifr_mtu;
	return 0;
}

int
gw_tap_open(const char *name, uint32_t *ifindex, struct rte_ether_addr *mac, uint32_t *mtu)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int result;

	if (fd < 0)
		return gw_fail(errno, "/dev/net/tun: %s", strerror(errno));
	result = attach(fd, name, ifindex);
	if (result == 0)
		result = describe(fd, name, mac, mtu);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

int
gw_tap_carrier(int fd, int up)
{
	return ioctl(fd, TUNSETCARRIER, &up) < 0 ? -errno : 0;
}
