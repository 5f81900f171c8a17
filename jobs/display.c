#include "jobs/display.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"

#define BAR_WIDTH 24
#define MOST_ROWS 16
#define LONGEST_SILENCE 300.0
#define STALE_SECONDS 120.0 /* without a sign of life, which a row then says */

struct Display {
    bool quiet, live, colour;
    int drawn;          /* lines of the live part on the screen */
    double next, pause; /* plain lines: when the next, and how long then */
};

Display *display_create(bool quiet)
{
    Display *display = memory_alloc_zero(1, sizeof *display);
    if (display == NULL) return NULL;
    const char *term = getenv("TERM");
    display->quiet = quiet;
    display->live = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    display->colour = log_colour(STDERR_FILENO);
    display->next = display->pause = 10;
    return display;
}

static int screen_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col;
}

void display_clear(Display *display)
{
    if (display == NULL || display->drawn == 0) return;
    fprintf(stderr, "\x1b[%dA\x1b[J", display->drawn);
    fflush(stderr);
    display->drawn = 0;
}

void display_line(Display *display, const char *format, ...)
{
    if (display != NULL && display->quiet) return;
    display_clear(display);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void append_bar(Text *line, double part)
{
    int full = (int)(part * BAR_WIDTH + 0.5);
    if (full < 0) full = 0;
    if (full > BAR_WIDTH) full = BAR_WIDTH;
    text_append(line, "[");
    for (int i = 0; i < BAR_WIDTH; i++) text_append(line, i < full ? "#" : ".");
    text_append(line, "]");
}

static void append_totals(Text *line, const DisplayTotals *totals)
{
    char spent[16], left[16];
    text_duration(totals->seconds, spent, sizeof spent);
    text_duration(totals->seconds_left, left, sizeof left);
    text_format(line, " %zu of %zu jobs", totals->done, totals->needed);
    if (totals->failed > 0) text_format(line, ", %zu failed", totals->failed);
    if (totals->blocked > 0) text_format(line, ", %zu blocked", totals->blocked);
    if (totals->paused > 0) text_format(line, ", %zu paused", totals->paused);
    if (totals->cancelled > 0) text_format(line, ", %zu cancelled", totals->cancelled);
    text_format(line, ", %s", spent);
    if (totals->seconds_left > 0) text_format(line, ", about %s left", left);
}

static void append_row(Text *line, const DisplayRow *row)
{
    char spent[16];
    text_duration(row->seconds, spent, sizeof spent);
    text_format(line, "%-9s %.10s ", row->stage, row->key);
    if (row->total > 0) {
        append_bar(line, (double)row->step / (double)row->total);
        text_format(line, " %lld/%lld %s", (long long)row->step, (long long)row->total, row->unit);
    } else {
        text_append(line, "starting");
    }
    text_format(line, "  %s", spent);
    if (row->silence > STALE_SECONDS) {
        text_duration(row->silence, spent, sizeof spent);
        text_format(line, "  no sign for %s", spent);
    }
    text_format(line, "  %s", row->note);
}

/* One line of the live part, cut to the screen so that it stays one line. */
static void draw(Display *display, const Text *line, int width, bool bright)
{
    bool accent = bright && display->colour;
    fprintf(stderr, "%s%.*s%s\x1b[K\n", accent ? "\x1b[1m" : "", width - 1, text_string(line), accent ? "\x1b[0m" : "");
    display->drawn++;
}

static void draw_live(Display *display, const DisplayTotals *totals, const DisplayRow *rows, size_t count)
{
    int width = screen_width();
    display_clear(display);
    for (size_t i = 0; i < count && i < MOST_ROWS; i++) {
        Text line = {0};
        append_row(&line, &rows[i]);
        draw(display, &line, width, false);
        text_free(&line);
    }
    Text line = {0};
    append_bar(&line, totals->needed > 0 ? (double)totals->done / (double)totals->needed : 1);
    append_totals(&line, totals);
    draw(display, &line, width, true);
    text_free(&line);
    fflush(stderr);
}

bool display_is_due(const Display *display, double seconds)
{
    return display != NULL && !display->quiet && (display->live || seconds >= display->next);
}

void display_update(Display *display, const DisplayTotals *totals, const DisplayRow *rows, size_t count)
{
    if (!display_is_due(display, totals->seconds)) return;
    if (display->live) {
        draw_live(display, totals, rows, count);
        return;
    }
    display->pause = display->pause * 1.5 < LONGEST_SILENCE ? display->pause * 1.5 : LONGEST_SILENCE;
    display->next = totals->seconds + display->pause;
    Text line = {0};
    text_append(&line, "  ...");
    append_totals(&line, totals);
    for (size_t i = 0; i < count && i < 4; i++) {
        text_format(&line, "; %s %.10s", rows[i].stage, rows[i].key);
        if (rows[i].total > 0) text_format(&line, " %lld/%lld", (long long)rows[i].step, (long long)rows[i].total);
    }
    fprintf(stderr, "%s\n", text_string(&line));
    text_free(&line);
}

void display_destroy(Display *display)
{
    display_clear(display);
    memory_free(display);
}
