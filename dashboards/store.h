/* What the server keeps between requests: the ledger, opened for reading; the
 * studies that were asked for; curves. The ledger may come later, go, or be
 * made anew: the store looks each time. Not thread-safe. */
#ifndef DASHBOARDS_STORE_H
#define DASHBOARDS_STORE_H

#include "dashboards/curves.h"
#include "dashboards/view.h"

#define STORE_MAX_VIEWS 8

typedef struct Store {
    char *work;
    char *ledger_path;
    Ledger *ledger;              /* NULL while there is none */
    uint64_t device, inode;      /* of the ledger's file */
    int64_t version;             /* of its data, when last looked at */
    double looked;               /* monotonic seconds */
    double interval;             /* of looking, in seconds */
    uint64_t serial;             /* grows with every change of the ledger */
    struct { View *view; uint64_t serial, used; } views[STORE_MAX_VIEWS];
    uint64_t uses;
    CurveCache *curves;
} Store;

/* STATUS_NOT_FOUND where there is no such directory. The ledger in it need not be there yet. */
Status store_open(const char *work, Store **store);
void store_close(Store *store); /* NULL is fine */
/* Looks whether the ledger has changed, at most once an interval. */
Status store_look(Store *store);
/* STATUS_NOT_FOUND while there is no ledger. */
Status store_ledger(Store *store, Ledger **ledger);
/* The study as it is now; the store's, valid until the next call. */
Status store_view(Store *store, const char *study, View **view);

#endif
