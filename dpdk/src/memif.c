/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memif.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool
is_memif(const char *device)
{
	return strncmp(device, "net_memif", strlen("net_memif")) == 0;
}

bool
gw_memif_is_client(const char *device)
{
	return is_memif(device) && !strstr(device, "role=server") && !strstr(device, "role=master");
}

// The path in the file system; false: it has none, or one that is too long for a socket.
static bool
socket_path(const char *device, struct sockaddr_un *address)
{
	const char *path = strstr(device, ",socket=");
	size_t length;

	if (!path || !strstr(device, "socket-abstract=no"))
		return false;
	path += strlen(",socket=");
	length = strcspn(path, ",");
	if (length == 0 || length >= sizeof(address->sun_path))
		return false;
	memcpy(address->sun_path, path, length);
	return true;
}

void
gw_memif_tidy(const char *device)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat found;
	int client;

	if (!is_memif(device) || gw_memif_is_client(device) || !socket_path(device, &address))
		return;
	if (lstat(address.sun_path, &found) < 0 || !S_ISSOCK(found.st_mode))
		return;
	client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0)
		return;
	if (connect(client, (struct sockaddr *)&address, sizeof(address)) < 0 &&
	    errno == ECONNREFUSED)
		unlink(address.sun_path);
	close(client);
}
