/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_store.h - what netfront reads and writes in the store. The front end's folder is
 * device/vif/N, its `backend` names the other one. Both are listed in docs/xen.md.
 */
#ifndef NETDEV_NETFRONT_STORE_H
#define NETDEV_NETFRONT_STORE_H

#include "netdev/netfront/netfront.h"

#define NETFRONT_FOLDER "device/vif" /* has a folder for each vif, by number */

enum { NETFRONT_LIST_MAX = 1024 }; /* bytes of the list of those */

/* The vif's own address and MTU: 0, or NETDEV_EDEVICE or NETDEV_ETIMEOUT and a sentence. */
int netfront_read_own(struct netfront *nf);

/* Finds the back end and watches it. A started device insists on its address: if the vif has gone,
 * or has another one, and there is one with that address under another number, that one becomes it.
 * STORE_OK, an error of the store, or STORE_EREFUSED if the vif has another address. */
int netfront_find_back(struct netfront *nf);

/* The back end's state: enum xenbus_state, XenbusStateUnknown if it says none; or an error of the
 * store, which says nothing about the back end. */
int netfront_back_state(const struct netfront *nf);

/* False if somebody is removing the back end. */
bool netfront_back_online(const struct netfront *nf);

/* What it can do; whether it has a carrier. Both are STORE_OK or an error of the store. */
int netfront_read_features(struct netfront *nf);
int netfront_read_carrier(struct netfront *nf);

/* The front end's state, alone. */
int netfront_write_state(struct netfront *nf, enum xenbus_state state);

/* All that the back end must know to connect, and the state Connected, in one transaction. */
int netfront_write_keys(struct netfront *nf);

#endif
