#include "framework/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"

/* Seconds between redraws of the bar; between the first plain lines; and the
 * longest that the growing interval between them becomes. */
#define BAR_INTERVAL 0.1
#define FIRST_LINE_INTERVAL 5.0
#define LONGEST_LINE_INTERVAL 600.0

struct Progress {
    char *label, *unit;
    char note[64]; /* the latest, for the last line */
    int64_t total, start, done;
    double began, next, interval;
    bool terminal, shown;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

Progress *progress_create(const char *label, int64_t total, const char *unit)
{
    Progress *progress = memory_alloc_zero(1, sizeof *progress);
    if (progress == NULL) return NULL;
    progress->label = memory_copy_string(label);
    progress->unit = memory_copy_string(unit);
    if (progress->label == NULL || progress->unit == NULL) {
        memory_free(progress->label);
        memory_free(progress->unit);
        memory_free(progress);
        return NULL;
    }
    progress->total = total;
    progress->terminal = isatty(STDERR_FILENO) != 0;
    progress->interval = progress->terminal ? BAR_INTERVAL : FIRST_LINE_INTERVAL;
    progress->began = now_seconds();
    progress->next = progress->began + progress->interval;
    return progress;
}

void progress_set_start(Progress *progress, int64_t done)
{
    if (progress == NULL) return;
    progress->start = progress->done = done;
    progress->began = now_seconds();
}

static void append_bar(Text *line, double share)
{
    enum { WIDTH = 24 };
    int full = (int)(share * WIDTH);
    text_append(line, " [");
    for (int i = 0; i < WIDTH; i++) text_append(line, i < full ? "#" : ".");
    text_append(line, "]");
}

static void show(Progress *progress, double now)
{
    Text line = {0};
    double seconds = now - progress->began;
    double rate = seconds > 0 ? (double)(progress->done - progress->start) / seconds : 0;
    text_append(&line, progress->label);
    if (progress->total > 0) {
        double share = (double)progress->done / (double)progress->total;
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        if (progress->terminal) append_bar(&line, share);
        text_format(&line, " %3.0f%% %" PRId64 "/%" PRId64 " %s", 100 * share, progress->done, progress->total,
                    progress->unit);
    } else {
        text_format(&line, " %" PRId64 " %s", progress->done, progress->unit);
    }
    if (rate > 0) {
        text_format(&line, ", %.*f/s", rate < 10 ? 2 : 0, rate);
        char left[16];
        text_duration((double)(progress->total - progress->done) / rate, left, sizeof left);
        if (progress->total > progress->done) text_format(&line, ", %s left", left);
    }
    if (progress->note[0] != '\0') text_format(&line, ", %s", progress->note);
    if (!line.failed && progress->terminal) {
        fprintf(stderr, "\r\033[K%s", line.data);
        fflush(stderr);
    } else if (!line.failed) {
        LOG_INFO("%s", line.data);
    }
    text_free(&line);
    progress->shown = true;
}

void progress_update(Progress *progress, int64_t done, const char *note)
{
    if (progress == NULL) return;
    progress->done = done;
    if (note != NULL) snprintf(progress->note, sizeof progress->note, "%s", note);
    double now = now_seconds();
    if (now < progress->next) return;
    show(progress, now);
    if (!progress->terminal && progress->interval < LONGEST_LINE_INTERVAL) progress->interval *= 2;
    progress->next = now + progress->interval;
}

void progress_destroy(Progress *progress)
{
    if (progress == NULL) return;
    /* Elsewhere than on a terminal, what was too quick for a line needs none. */
    if (progress->terminal || progress->shown) show(progress, now_seconds());
    if (progress->terminal) fputc('\n', stderr);
    memory_free(progress->label);
    memory_free(progress->unit);
    memory_free(progress);
}
