#include "framework/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "framework/memory.h"

/* Room for `more` bytes and a NUL; false, and the text failed, without it. */
static bool text_reserve(Text *text, size_t more)
{
    if (text->failed) return false;
    if (more > SIZE_MAX / 2 - text->length - 1) {
        text->failed = true;
        return false;
    }
    size_t needed = text->length + more + 1;
    if (needed <= text->capacity) return true;
    size_t capacity = text->capacity > 0 ? text->capacity * 2 : 64;
    if (capacity < needed) capacity = needed;
    char *data = memory_resize(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_append_bytes(Text *text, const char *bytes, size_t count)
{
    if (!text_reserve(text, count)) return;
    if (count > 0) memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void text_append(Text *text, const char *string)
{
    text_append_bytes(text, string, strlen(string));
}

void text_format(Text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) text->failed = true;
    else if (text_reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
        text->length += (size_t)length;
    }
    va_end(arguments);
}

void text_append_quoted(Text *text, const char *string)
{
    text_append(text, "'");
    for (; *string != '\0'; string++) {
        if (*string == '\'') text_append(text, "'\\''");
        else text_append_bytes(text, string, 1);
    }
    text_append(text, "'");
}

const char *text_string(const Text *text)
{
    return text->data != NULL ? text->data : "";
}

void text_free(Text *text)
{
    memory_free(text->data);
    *text = (Text){0};
}

bool parse_integer(const char *string, int64_t *value)
{
    /* strtoll skips leading blanks; a strict parser does not. */
    if (*string == '\0' || isspace((unsigned char)*string)) return false;
    char *end;
    errno = 0;
    long long parsed = strtoll(string, &end, 10);
    if (errno != 0 || end == string || *end != '\0') return false;
    *value = parsed;
    return true;
}

bool parse_real(const char *string, double *value)
{
    if (*string == '\0' || isspace((unsigned char)*string)) return false;
    char *end;
    errno = 0;
    double parsed = strtod(string, &end);
    if (end == string || *end != '\0') return false;
    /* Underflow to a tiny number is fine; overflow of a finite one is not. */
    if (errno == ERANGE && (parsed > 1.0 || parsed < -1.0)) return false;
    *value = parsed;
    return true;
}

bool parse_bool(const char *string, bool *value)
{
    static const char *const YES[] = {"true", "yes", "on"}, *const NO[] = {"false", "no", "off"};
    for (size_t i = 0; i < 3; i++) {
        bool yes = strcasecmp(string, YES[i]) == 0;
        if (!yes && strcasecmp(string, NO[i]) != 0) continue;
        *value = yes;
        return true;
    }
    return false;
}

/* A number without sign at *text, which moves behind it. */
static bool take_number(const char **text, double *number)
{
    size_t length = strspn(*text, "0123456789.");
    char digits[32];
    if (length == 0 || length >= sizeof digits) return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    *text += length;
    return parse_real(digits, number);
}

/* [days-]hours:minutes:seconds, minutes:seconds, days-hours[:minutes]: what was read last counts least. */
static bool parse_clock(const char *string, double *seconds)
{
    double parts[3] = {0}, days = 0;
    int count = 0;
    const char *dash = strchr(string, '-');
    if (dash != NULL) {
        if (!take_number(&string, &days) || string != dash) return false;
        string++;
    }
    do {
        if (count == 3 || !take_number(&string, &parts[count++])) return false;
    } while (*string == ':' && *string++ != '\0');
    if (*string != '\0') return false;
    double hours = count == 3 || dash != NULL ? parts[0] : 0;
    double minutes = count == 3 || dash != NULL ? parts[1] : parts[0];
    double rest = count == 3 || dash != NULL ? parts[2] : parts[1];
    *seconds = days * 86400 + hours * 3600 + minutes * 60 + rest;
    return true;
}

bool parse_duration(const char *string, double *seconds)
{
    static const struct { char unit; double seconds; } UNITS[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    if (strpbrk(string, ":-") != NULL) return parse_clock(string, seconds);
    double sum = 0, number;
    size_t next = 0, count = sizeof UNITS / sizeof UNITS[0];
    do {
        if (!take_number(&string, &number)) return false;
        if (*string == '\0' && next == 0) { /* a number alone is in seconds */
            *seconds = number;
            return true;
        }
        while (next < count && UNITS[next].unit != *string) next++;
        if (next == count) return false;
        sum += number * UNITS[next++].seconds;
        string++;
    } while (*string != '\0');
    *seconds = sum;
    return true;
}

bool parse_bytes(const char *string, double *bytes)
{
    static const char UNITS[] = "KMGTP";
    double number, factor = 1;
    if (!take_number(&string, &number)) return false;
    const char *unit = *string != '\0' ? strchr(UNITS, toupper((unsigned char)*string)) : NULL;
    if (unit != NULL) {
        for (const char *u = UNITS; u <= unit; u++) factor *= 1024;
        string++;
        if (*string == 'i' && string[1] == 'B') string++;
    }
    if (*string == 'B') string++;
    if (*string != '\0') return false;
    *bytes = floor(number * factor + 0.5);
    return true;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int text_distance(const char *a, const char *b)
{
    /* Names are short; of longer ones the heads are compared. */
    enum { LONGEST = 127 };
    int rows[3][LONGEST + 1];
    int length_a = (int)strnlen(a, LONGEST), length_b = (int)strnlen(b, LONGEST);
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= length_b; j++) last[j] = before[j] = j;
    for (int i = 1; i <= length_a; i++) {
        row[0] = i;
        for (int j = 1; j <= length_b; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = smaller(best, smaller(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = smaller(best, before[j - 2] + 1);
            row[j] = best;
        }
        int *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[length_b];
}

void text_duration(double seconds, char *out, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(out, size, "?");
        return;
    }
    if (seconds < 59.95) {
        snprintf(out, size, "%.1fs", seconds);
        return;
    }
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole < 3600) snprintf(out, size, "%dm%02ds", (int)(whole / 60), (int)(whole % 60));
    else snprintf(out, size, "%dh%02dm", (int)(whole / 3600), (int)(whole % 3600 / 60));
}

void text_bytes(double bytes, char *out, size_t size)
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t unit = 0;
    while (bytes >= 999.95 && unit + 1 < sizeof UNITS / sizeof UNITS[0]) {
        bytes /= 1000;
        unit++;
    }
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, UNITS[unit]);
}
