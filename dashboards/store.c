#include "dashboards/store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "framework/files.h"
#include "jobs/ledger_query.h"

#define LOOK_INTERVAL 0.4

static double monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

Status store_open(const char *work, Store **out)
{
    *out = NULL;
    struct stat info;
    if (stat(work, &info) != 0) return status_errno(errno, "open", work);
    if (!S_ISDIR(info.st_mode)) return status_error(STATUS_INVALID, "%s: is no directory", work);
    Store *store = memory_alloc_zero(1, sizeof *store);
    if (store == NULL) return status_no_memory(sizeof *store, "the dashboard");
    store->interval = LOOK_INTERVAL;
    store->looked = -1e9;
    store->work = path_absolute(work);
    store->ledger_path = store->work != NULL ? path_join(store->work, LEDGER_NAME) : NULL;
    store->curves = curve_cache_create();
    if (store->ledger_path == NULL || store->curves == NULL) {
        store_close(store);
        return status_no_memory(256, "the dashboard");
    }
    *out = store;
    return OK;
}

static void forget(Store *store)
{
    for (int i = 0; i < STORE_MAX_VIEWS; i++) {
        view_destroy(store->views[i].view);
        store->views[i].view = NULL;
    }
    curve_cache_clear(store->curves);
    ledger_close(store->ledger);
    store->ledger = NULL;
}

void store_close(Store *store)
{
    if (store == NULL) return;
    if (store->curves != NULL) forget(store);
    curve_cache_destroy(store->curves);
    memory_free(store->ledger_path);
    memory_free(store->work);
    memory_free(store);
}

Status store_look(Store *store)
{
    double now = monotonic_now();
    if (now - store->looked < store->interval) return OK;
    struct stat info;
    bool there = stat(store->ledger_path, &info) == 0;
    bool other = there && ((uint64_t)info.st_dev != store->device || (uint64_t)info.st_ino != store->inode);
    if (store->ledger != NULL && (!there || other)) forget(store);
    if (!there) return OK;
    if (store->ledger == NULL) {
        TRY(ledger_open_reader(store->work, &store->ledger));
        store->device = (uint64_t)info.st_dev;
        store->inode = (uint64_t)info.st_ino;
        store->version = -1;
    }
    int64_t version;
    TRY(ledger_data_version(store->ledger, &version));
    if (version != store->version) store->serial++;
    store->version = version;
    store->looked = now;
    return OK;
}

Status store_ledger(Store *store, Ledger **ledger)
{
    *ledger = NULL;
    TRY(store_look(store));
    *ledger = store->ledger;
    if (store->ledger != NULL) return OK;
    return status_error(STATUS_NOT_FOUND, "%s: no ledger there yet: run a study first", store->work);
}

Status store_view(Store *store, const char *study, View **view)
{
    Ledger *ledger;
    int slot = -1, oldest = 0;
    *view = NULL;
    TRY(store_ledger(store, &ledger));
    for (int i = 0; i < STORE_MAX_VIEWS; i++) {
        if (store->views[i].view != NULL && strcmp(store->views[i].view->study, study) == 0) slot = i;
        if (store->views[i].used < store->views[oldest].used) oldest = i;
    }
    if (slot < 0) {
        View *made;
        TRY(view_create(ledger, store->work, study, &made));
        slot = oldest;
        view_destroy(store->views[slot].view);
        store->views[slot].view = made;
    } else if (store->views[slot].serial != store->serial) {
        Status status = view_refresh(store->views[slot].view, ledger, store->work);
        if (status != OK) { /* half-read: made anew next time */
            view_destroy(store->views[slot].view);
            store->views[slot].view = NULL;
            return status;
        }
    }
    store->views[slot].serial = store->serial;
    store->views[slot].used = ++store->uses;
    *view = store->views[slot].view;
    return OK;
}
