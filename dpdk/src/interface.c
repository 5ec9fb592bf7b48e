/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interface.h"

struct gw_interface gw_interfaces[GW_INTERFACES];
