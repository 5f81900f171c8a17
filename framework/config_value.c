/* One value of one key: from YAML to a checked value with its canonical text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/config_private.h"
#include "framework/memory.h"
#include "framework/text.h"

/* Integers above this are no longer exact in a double. */
#define EXACT 9007199254740992.0

static bool is_list(const ConfigKey *key)
{
    return key->type == CONFIG_INTEGER_LIST || key->type == CONFIG_REAL_LIST || key->type == CONFIG_STRING_LIST;
}

static bool is_integral(const ConfigKey *key)
{
    return key->type == CONFIG_INTEGER || key->type == CONFIG_INTEGER_LIST || key->type == CONFIG_BYTES;
}

void config_describe_range(const ConfigKey *key, Text *out)
{
    if (key->type == CONFIG_BOOL || key->low >= key->high) return;
    text_format(out, key->high >= 1e15 ? "at least %.15g" : "between %.15g and ", key->low);
    if (key->high < 1e15) text_format(out, "%.15g", key->high);
}

void config_describe_type(const ConfigKey *key, Text *out)
{
    switch (key->type) {
    case CONFIG_BOOL: text_append(out, "true or false"); break;
    case CONFIG_INTEGER: text_append(out, "an integer"); break;
    case CONFIG_REAL: text_append(out, "a number"); break;
    case CONFIG_STRING: text_append(out, "text"); break;
    case CONFIG_PATH: text_append(out, "a path"); break;
    case CONFIG_CHOICE: {
        text_append(out, "one of ");
        for (const char *c = key->choices; *c != '\0'; c++)
            *c == '|' ? text_append(out, ", ") : text_append_bytes(out, c, 1);
        break;
    }
    case CONFIG_DURATION: text_append(out, "a time, as 90 (seconds), 30m, 2h or 1-12:00:00"); break;
    case CONFIG_BYTES: text_append(out, "a size, as 512M or 8G"); break;
    case CONFIG_INTEGER_LIST: text_append(out, "a list of integers, as [1, 2]"); break;
    case CONFIG_REAL_LIST: text_append(out, "a list of numbers, as [0.5, 1]"); break;
    case CONFIG_STRING_LIST: text_append(out, "a list of texts, as [a, b]"); break;
    case CONFIG_TYPE_COUNT: break;
    }
}

static Status wrong_type(const ConfigKey *key, const Yaml *yaml, const char *where)
{
    Text type = {0};
    config_describe_type(key, &type);
    const char *found = yaml->type == YAML_LIST ? "a list" : yaml->type == YAML_MAP ? "a map" : NULL;
    Status status;
    if (found != NULL)
        status = status_error(STATUS_INVALID, "%s: '%s' is %s, but must be %s", where, key->name, found,
                              text_string(&type));
    else if (yaml->scalar[0] == '\0' && !yaml->quoted)
        status = status_error(STATUS_INVALID, "%s: '%s' has no value: it must be %s", where, key->name, text_string(&type));
    else
        status = status_error(STATUS_INVALID, "%s: '%s' is %s'%s', but must be %s", where, key->name,
                              yaml->quoted ? "the text " : "", yaml->scalar, text_string(&type));
    text_free(&type);
    return status;
}

/* The shortest text that reads back as the same number. */
static void append_number(Text *out, double number)
{
    char buffer[40];
    for (int digits = 6; digits <= 17; digits++) {
        double back;
        snprintf(buffer, sizeof buffer, "%.*g", digits, number);
        if (parse_real(buffer, &back) && back == number) break;
    }
    text_append(out, buffer);
}

static bool parse_by_type(const ConfigKey *key, const char *text, double *number)
{
    switch (key->type) {
    case CONFIG_DURATION: return parse_duration(text, number);
    case CONFIG_BYTES: return parse_bytes(text, number);
    default: return parse_real(text, number);
    }
}

static Status parse_number(const ConfigKey *key, const Yaml *yaml, const char *where, double *number)
{
    /* A time with colons may come in quotes. */
    bool quoted = yaml->type == YAML_SCALAR && yaml->quoted && key->type != CONFIG_DURATION;
    if (yaml->type != YAML_SCALAR || quoted || !parse_by_type(key, yaml->scalar, number))
        return wrong_type(key, yaml, where);
    if (!isfinite(*number)) return status_error(STATUS_INVALID, "%s: '%s' is not finite", where, key->name);
    if (is_integral(key) && (*number != floor(*number) || fabs(*number) > EXACT)) return wrong_type(key, yaml, where);
    if (*number == 0) *number = 0; /* -0 and 0 must give one canonical text */
    if (*number >= key->low && *number <= key->high) return OK;
    Text range = {0};
    config_describe_range(key, &range);
    Status status = status_error(STATUS_INVALID, "%s: '%s' is %s, but must be %s", where, key->name, yaml->scalar,
                                 text_string(&range));
    text_free(&range);
    return status;
}

static void append_value_number(const ConfigKey *key, Text *out, double number)
{
    if (is_integral(key))
        text_format(out, "%lld", (long long)number);
    else
        append_number(out, number);
}

/* A double-quoted YAML string. */
static void append_quoted(Text *out, const char *string)
{
    text_append(out, "\"");
    for (const char *c = string; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            text_format(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            text_format(out, "\\x%02x", (unsigned)(unsigned char)*c);
        else
            text_append_bytes(out, c, 1);
    }
    text_append(out, "\"");
}

static bool is_null(const Yaml *yaml)
{
    return yaml->type == YAML_SCALAR && !yaml->quoted &&
           (yaml->scalar[0] == '\0' || strcmp(yaml->scalar, "~") == 0 || strcmp(yaml->scalar, "null") == 0);
}

static Status parse_choice(const ConfigKey *key, const Yaml *yaml, const char *where, ConfigValue *value, Text *text)
{
    if (yaml->type != YAML_SCALAR) return wrong_type(key, yaml, where);
    int index = 0;
    for (const char *choice = key->choices;; index++) {
        size_t length = strcspn(choice, "|");
        if (strlen(yaml->scalar) == length && strncmp(choice, yaml->scalar, length) == 0) {
            value->number = index;
            text_append(text, yaml->scalar);
            return OK;
        }
        if (choice[length] == '\0') return wrong_type(key, yaml, where);
        choice += length + 1;
    }
}

static Status parse_list(const ConfigKey *key, const Yaml *yaml, const char *where, ConfigValue *value, Text *text)
{
    if (!is_null(yaml) && yaml->type != YAML_LIST) return wrong_type(key, yaml, where);
    size_t count = yaml->type == YAML_LIST ? yaml->count : 0;
    bool strings = key->type == CONFIG_STRING_LIST;
    if (strings)
        value->strings = memory_alloc_zero(count + 1, sizeof *value->strings);
    else
        value->numbers = memory_alloc_zero(count + 1, sizeof *value->numbers);
    if (value->strings == NULL && value->numbers == NULL) return status_no_memory(count * sizeof(double), key->name);
    text_append(text, "[");
    for (size_t i = 0; i < count; i++) {
        const Yaml *item = &yaml->items[i];
        if (i > 0) text_append(text, ", ");
        if (strings) {
            if (item->type != YAML_SCALAR) return wrong_type(key, item, where);
            value->strings[i] = memory_copy_string(item->scalar);
            if (value->strings[i] == NULL) return status_no_memory(strlen(item->scalar), key->name);
            append_quoted(text, item->scalar);
        } else {
            TRY(parse_number(key, item, where, &value->numbers[i]));
            append_value_number(key, text, value->numbers[i]);
        }
        value->count++;
    }
    text_append(text, "]");
    return OK;
}

static Status parse_value(const ConfigKey *key, const Yaml *yaml, const char *where, ConfigValue *value, Text *text)
{
    bool truth;
    if (is_list(key)) return parse_list(key, yaml, where, value, text);
    switch (key->type) {
    case CONFIG_BOOL:
        if (yaml->type != YAML_SCALAR || yaml->quoted || !parse_bool(yaml->scalar, &truth))
            return wrong_type(key, yaml, where);
        value->number = truth;
        text_append(text, truth ? "true" : "false");
        return OK;
    case CONFIG_INTEGER:
    case CONFIG_REAL:
    case CONFIG_DURATION:
    case CONFIG_BYTES:
        TRY(parse_number(key, yaml, where, &value->number));
        append_value_number(key, text, value->number);
        return OK;
    case CONFIG_CHOICE: return parse_choice(key, yaml, where, value, text);
    default:
        if (yaml->type != YAML_SCALAR) return wrong_type(key, yaml, where);
        text_append(text, is_null(yaml) ? "" : yaml->scalar);
        return OK;
    }
}

Status config_value_from_yaml(const ConfigKey *key, const Yaml *yaml, const char *where, ConfigValue **out)
{
    Text text = {0};
    *out = NULL;
    ConfigValue *value = memory_alloc_zero(1, sizeof *value);
    if (value == NULL) return status_no_memory(sizeof *value, key->name);
    value->users = 1;
    Status status = parse_value(key, yaml, where, value, &text);
    if (status == OK) {
        value->text = text.failed ? NULL : memory_copy_string(text_string(&text));
        if (value->text == NULL) status = status_no_memory(text.length, key->name);
    }
    text_free(&text);
    if (status == OK)
        *out = value;
    else
        config_value_release(value);
    return status;
}

Status config_value_from_text(const ConfigKey *key, const char *text, const char *where, ConfigValue **out)
{
    /* Text for a string key is taken as it is, so that a value from the command
     * line may hold ':' or '#'; the quotes of a wholly quoted one go. */
    bool plain = key->type == CONFIG_STRING || key->type == CONFIG_PATH;
    if (text[0] == '\0' || (plain && text[0] != '"' && text[0] != '\'')) return config_value_from_canonical(key, text, where, out);
    Yaml *yaml;
    *out = NULL;
    char *source = memory_format("%s: '%s'", where, key->name);
    if (source == NULL) return status_no_memory(strlen(where), key->name);
    Status status = yaml_parse(text, strlen(text), source, &yaml);
    memory_free(source);
    TRY(status);
    status = config_value_from_yaml(key, yaml, where, out);
    yaml_destroy(yaml);
    return status;
}

Status config_value_from_canonical(const ConfigKey *key, const char *text, const char *where, ConfigValue **out)
{
    *out = NULL;
    if (!is_list(key) || text[0] == '\0') {
        Yaml yaml = {.type = YAML_SCALAR, .scalar = memory_copy_string(text)};
        if (yaml.scalar == NULL) return status_no_memory(strlen(text), key->name);
        /* "null" and "~" given as a string's own text are that text. */
        yaml.quoted = key->type == CONFIG_STRING || key->type == CONFIG_PATH;
        Status status = config_value_from_yaml(key, &yaml, where, out);
        memory_free(yaml.scalar);
        return status;
    }
    return config_value_from_text(key, text, where, out);
}

void config_value_release(ConfigValue *value)
{
    if (value == NULL || --value->users > 0) return;
    for (int64_t i = 0; value->strings != NULL && i < value->count; i++) memory_free(value->strings[i]);
    memory_free(value->strings);
    memory_free(value->numbers);
    memory_free(value->text);
    memory_free(value);
}
