/* What a run shows on standard error: on a terminal, one live line per running
 * job under lines that stay; elsewhere, only lines that stay. */
#ifndef JOBS_DISPLAY_H
#define JOBS_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DisplayRow {
    const char *stage, *key, *unit, *note; /* note: the trial it is for */
    int64_t step, total;                   /* -1: not known yet */
    double seconds;                        /* since its attempt began */
    double silence;                        /* since its last sign of life */
} DisplayRow;

typedef struct DisplayTotals {
    size_t done, needed, failed, blocked, paused, cancelled;
    double seconds, seconds_left; /* left: 0 where nobody can tell */
} DisplayTotals;

typedef struct Display Display;
Display *display_create(bool quiet); /* NULL without memory; every function accepts NULL */
/* A line that stays. */
void display_line(Display *display, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether an update would show anything, `seconds` after the run began. */
bool display_is_due(const Display *display, double seconds);
/* Redraws the live part. Elsewhere: a plain line at growing intervals. */
void display_update(Display *display, const DisplayTotals *totals, const DisplayRow *rows, size_t count);
/* Takes the live part away, so that others may write. */
void display_clear(Display *display);
void display_destroy(Display *display);

#endif
