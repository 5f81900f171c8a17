/* A growing string and small text helpers. */
#ifndef FRAMEWORK_TEXT_H
#define FRAMEWORK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise before use. A failed allocation sets `failed`, and later
 * calls do nothing, so that callers check once at the end. */
typedef struct Text {
    char *data; /* NUL-terminated, or NULL while empty */
    size_t length;
    size_t capacity;
    bool failed;
} Text;

void text_append(Text *text, const char *string);
void text_append_bytes(Text *text, const char *bytes, size_t count);
void text_format(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In single quotes, as a shell reads one word. */
void text_append_quoted(Text *text, const char *string);
const char *text_string(const Text *text); /* "" while empty */
void text_free(Text *text);

/* Strict parsers: the whole string must be the number. False otherwise.
 * parse_real accepts nan and inf; callers that must not have them check. */
bool parse_integer(const char *string, int64_t *value);
bool parse_real(const char *string, double *value);
/* Seconds from "90", "1.5h", "1h30m", "2d", "10:00" (minutes:seconds),
 * "2:00:00", "1-12:00:00" (days-hours:minutes:seconds, as Slurm writes it). */
bool parse_duration(const char *string, double *seconds);
/* Bytes from "1000", "512M", "1.5G", "8GiB": units of 1024. Rounded to whole bytes. */
bool parse_bytes(const char *string, double *bytes);
bool parse_bool(const char *string, bool *value); /* true/false/yes/no/on/off */

/* Edit distance with transpositions (Damerau), for "did you mean". */
int text_distance(const char *a, const char *b);

/* Seconds as "3.2s", "4m05s", "2h03m". `out` holds at least 16 bytes. */
void text_duration(double seconds, char *out, size_t size);
/* Bytes as "812 B", "3.4 MB". `out` holds at least 16 bytes. */
void text_bytes(double bytes, char *out, size_t size);

#endif
