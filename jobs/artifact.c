#include "jobs/artifact.h"

#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/memory.h"

#define MANIFEST_FORMAT 1

char *artifact_directory(const char *work, const char *key)
{
    return memory_format("%s/artifacts/%s", work, key);
}

char *run_directory(const char *work, const char *key)
{
    return memory_format("%s/runs/%s", work, key);
}

char *attempt_directory(const char *work, const char *key, int number)
{
    return memory_format("%s/runs/%s/%04d", work, key, number);
}

char *study_directory(const char *work, const char *name)
{
    return memory_format("%s/studies/%s", work, name);
}

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

Status work_list_keys(const char *work, const char *below, HashMap *keys)
{
    char *directory = path_join(work, below), **names = NULL;
    size_t count = 0;
    if (directory == NULL) return no_path();
    Status status = directory_list_any(directory, &names, &count);
    memory_free(directory);
    for (size_t i = 0; i < count && status == OK; i++) {
        Hash128 key;
        uint32_t found;
        if (hash_from_hex(names[i], &key)) status = hash_map_insert(keys, key, 0, &found);
    }
    names_free(names, count);
    return status;
}

/* Checking ------------------------------------------------------------------ */

static Status check_file(const char *directory, const Json *entry, const char *manifest, bool full)
{
    const char *name, *hex;
    int64_t bytes, found = 0;
    TRY(json_get_string(entry, "path", manifest, &name));
    TRY(json_get_integer(entry, "bytes", manifest, &bytes));
    TRY(json_get_string(entry, "xxh3", manifest, &hex));
    char *path = path_join(directory, name);
    if (path == NULL) return no_path();
    Status status = file_size(path, &found);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = status_error(STATUS_CORRUPT, "%s: missing, though %s lists it", path, manifest);
    }
    if (status == OK && found != bytes)
        status = status_error(STATUS_CORRUPT, "%s: has %lld bytes, where the manifest says %lld", path,
                              (long long)found, (long long)bytes);
    if (status == OK && full) {
        Hash128 expected, actual;
        status = hash_file(path, &actual, NULL);
        if (status == OK && (!hash_from_hex(hex, &expected) || !hash_equal(expected, actual)))
            status = status_error(STATUS_CORRUPT, "%s: its checksum is not the manifest's", path);
    }
    memory_free(path);
    return status;
}

static Status check_manifest(const char *directory, const char *path, bool full)
{
    Json *manifest;
    Status status = json_read_file(path, &manifest);
    if (status != OK) {
        if (status_code(status) == STATUS_NO_MEMORY || status_code(status) == STATUS_IO) return status;
        Status corrupt = status_error(STATUS_CORRUPT, "%s", status_message(status));
        status_free(status);
        return corrupt;
    }
    const Json *files = json_member(manifest, "files");
    if (files == NULL || files->type != JSON_ARRAY)
        status = status_error(STATUS_CORRUPT, "%s: lists no files", path);
    for (size_t i = 0; status == OK && i < files->count; i++) status = check_file(directory, &files->items[i], path, full);
    json_destroy(manifest);
    return status;
}

Status artifact_check(const char *work, const char *key, bool full)
{
    char *directory = artifact_directory(work, key), *path = NULL;
    Status status = OK;
    struct stat info;
    if (directory == NULL || (path = path_join(directory, MANIFEST_NAME)) == NULL)
        status = no_path();
    else if (stat(directory, &info) != 0)
        status = status_error(STATUS_NOT_FOUND, "%s: no such artifact", directory);
    else
        status = check_manifest(directory, path, full);
    memory_free(path);
    memory_free(directory);
    return status;
}

/* Committing ------------------------------------------------------------------- */

static bool is_leftover(const char *name)
{
    size_t length = strlen(name);
    return name[0] == '.' && length > 4 && strcmp(name + length - 4, ".tmp") == 0;
}

static Status add_files(const char *directory, const char *prefix, JsonWriter *writer);

static Status add_entry(const char *directory, const char *prefix, const char *name, JsonWriter *writer)
{
    char *path = path_join(directory, name), *relative = memory_format("%s%s%s", prefix, prefix[0] ? "/" : "", name);
    Status status = path == NULL || relative == NULL ? no_path() : OK;
    struct stat info;
    if (status != OK) {
        /* nothing to look at */
    } else if (is_leftover(name)) {
        status = file_remove(path);
    } else if (lstat(path, &info) != 0) {
        status = status_error(STATUS_IO, "%s: vanished while its artifact was made", path);
    } else if (S_ISDIR(info.st_mode)) {
        status = add_files(path, relative, writer);
    } else if (strcmp(relative, MANIFEST_NAME) != 0) {
        Hash128 hash;
        int64_t bytes;
        char hex[HASH_HEX_SIZE];
        status = hash_file(path, &hash, &bytes);
        if (status == OK) {
            hash_to_hex(hash, hex);
            json_begin_object(writer);
            json_key(writer, "path");
            json_string(writer, relative);
            json_key(writer, "bytes");
            json_integer(writer, bytes);
            json_key(writer, "xxh3");
            json_string(writer, hex);
            json_end_object(writer);
        }
    }
    memory_free(path);
    memory_free(relative);
    return status;
}

static Status add_files(const char *directory, const char *prefix, JsonWriter *writer)
{
    char **names;
    size_t count;
    TRY(directory_list(directory, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) status = add_entry(directory, prefix, names[i], writer);
    names_free(names, count);
    return status;
}

static void add_info(const ArtifactInfo *info, JsonWriter *writer)
{
    json_key(writer, "format");
    json_integer(writer, MANIFEST_FORMAT);
    json_key(writer, "key");
    json_string(writer, info->key);
    json_key(writer, "stage");
    json_string(writer, stage_name(info->stage));
    json_key(writer, "version");
    json_integer(writer, info->version);
    json_key(writer, "code");
    json_string(writer, info->code);
    json_key(writer, "attempt");
    json_string(writer, info->attempt);
    if (info->fingerprint != NULL && info->fingerprint[0] != '\0') {
        json_key(writer, "fingerprint");
        json_string(writer, info->fingerprint);
    }
    json_key(writer, "inputs");
    json_begin_object(writer);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (info->inputs[stage] == NULL) continue;
        json_key(writer, stage_name((StageId)stage));
        json_string(writer, info->inputs[stage]);
    }
    json_end_object(writer);
    json_key(writer, "config");
    config_write_json(info->config, info->stage, writer);
}

static Status write_manifest(const char *output, const ArtifactInfo *info)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_info(info, &writer);
    json_key(&writer, "files");
    json_begin_array(&writer);
    Status status = add_files(output, "", &writer);
    json_end_array(&writer);
    json_end_object(&writer);
    char *path = path_join(output, MANIFEST_NAME);
    if (status == OK && (path == NULL || writer.text.failed)) status = status_no_memory(writer.text.length, "a manifest");
    if (status == OK) status = file_write(path, writer.text.data, writer.text.length);
    memory_free(path);
    text_free(&writer.text);
    return status;
}

Status artifact_commit(const char *output, const char *work, const ArtifactInfo *info)
{
    TRY(write_manifest(output, info));
    char *place = artifact_directory(work, info->key), *parent = path_join(work, "artifacts");
    Status status = place == NULL || parent == NULL ? no_path() : directory_create(parent);
    if (status == OK) status = directory_commit(output, place);
    if (status_code(status) == STATUS_LOCKED) {
        status_free(status);
        status = artifact_check(work, info->key, true);
        if (status == OK) {
            status = directory_remove(output);
        } else if (status_code(status) == STATUS_CORRUPT) {
            status_free(status);
            status = directory_remove(place);
            if (status == OK) status = directory_commit(output, place);
        }
    }
    memory_free(place);
    memory_free(parent);
    return status;
}

Status artifact_read_metrics(const char *work, const char *key, Json **metrics)
{
    char *path = memory_format("%s/artifacts/%s/" METRICS_NAME, work, key);
    *metrics = NULL;
    if (path == NULL) return no_path();
    Status status = json_read_file(path, metrics);
    memory_free(path);
    return status;
}

static bool same_character(char a, char b)
{
    return a == b || ((a == '.' || a == '_') && (b == '.' || b == '_'));
}

/* Whether `name` is `key` or a whole-word end of it, with '_' for '.'. */
static bool names_metric(const char *name, const char *key)
{
    size_t name_length = strlen(name), key_length = strlen(key);
    if (name_length > key_length) return false;
    const char *end = key + (key_length - name_length);
    for (size_t i = 0; i < name_length; i++)
        if (!same_character(name[i], end[i])) return false;
    return end == key || end[-1] == '.';
}

const Json *artifact_find_metric(const Json *metrics, const char *name, const char **key)
{
    for (size_t i = 0; metrics != NULL && metrics->type == JSON_OBJECT && i < metrics->count; i++) {
        JsonType type = metrics->items[i].type;
        bool number = type == JSON_REAL || type == JSON_INTEGER || type == JSON_NULL;
        if (!number || !names_metric(name, metrics->keys[i])) continue;
        if (key != NULL) *key = metrics->keys[i];
        return &metrics->items[i];
    }
    return NULL;
}
