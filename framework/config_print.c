/* The schema as a table for people. */
#include <string.h>

#include "framework/config_private.h"
#include "framework/text.h"

static void describe_kind(const ConfigKey *key, Text *out)
{
    static const char *const NAMES[CONFIG_TYPE_COUNT] = {"bool", "integer", "real", "text", "path", "", "time", "size",
                                                         "integers", "reals", "texts"};
    if (key->type == CONFIG_CHOICE) {
        text_append(out, key->choices);
        return;
    }
    text_append(out, NAMES[key->type]);
    if (key->type == CONFIG_BOOL || key->type == CONFIG_DURATION || key->type == CONFIG_BYTES || key->low >= key->high) return;
    if (key->high >= 1e15)
        text_format(out, " >= %.10g", key->low);
    else
        text_format(out, " %.10g..%.10g", key->low, key->high);
}

static void describe_readers(const ConfigKey *key, Text *out)
{
    if (key->stages == 0) text_append(out, "runner");
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if ((key->stages & 1u << stage) != 0)
            text_format(out, "%s%s", out->length > 0 ? " " : "", stage_name((StageId)stage));
}

/* A key is wanted where it begins with the prefix, and the prefix ends a word. */
static bool wanted(const ConfigKey *key, const char *prefix)
{
    if (prefix == NULL) return true;
    size_t length = strlen(prefix);
    if (strncmp(key->name, prefix, length) != 0) return false;
    return length == 0 || key->name[length] == '\0' || key->name[length] == '.' || prefix[length - 1] == '.';
}

static int widest(int width, size_t length)
{
    return (int)length > width ? (int)length : width;
}

bool config_print_schema(FILE *out, const char *prefix)
{
    int name_width = 3, kind_width = 4, default_width = 7, readers_width = 4, shown = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
            const ConfigKey *key = &CONFIG_SCHEMA[i];
            if (!wanted(key, prefix)) continue;
            Text kind = {0}, readers = {0};
            describe_kind(key, &kind);
            describe_readers(key, &readers);
            if (pass == 0) {
                name_width = widest(name_width, strlen(key->name));
                kind_width = widest(kind_width, kind.length);
                default_width = widest(default_width, strlen(key->fallback));
                readers_width = widest(readers_width, readers.length);
            } else {
                if (shown++ == 0)
                    fprintf(out, "%-*s  %-*s  %-*s  %-*s  %s\n", name_width, "key", kind_width, "type", default_width,
                            "default", readers_width, "read by", "meaning");
                fprintf(out, "%-*s  %-*s  %-*s  %-*s  %s\n", name_width, key->name, kind_width, text_string(&kind),
                        default_width, key->fallback, readers_width, text_string(&readers), key->help);
            }
            text_free(&kind);
            text_free(&readers);
        }
    }
    return shown > 0;
}
