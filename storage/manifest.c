#include "storage/manifest.h"

#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "storage/class_table.h"

#define FORMAT_NAME "zeroth-dataset"

const char *const SPLIT_NAMES[SPLIT_COUNT] = {[SPLIT_TRAIN] = "train", [SPLIT_VAL] = "val"};

char *manifest_path(const char *directory)
{
    return path_join(directory, "manifest.json");
}

void manifest_clear(Manifest *manifest)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        ManifestSplit *split = &manifest->splits[s];
        for (int64_t i = 0; i < split->shard_count; i++) memory_free(split->shards[i].file);
        memory_free(split->shards);
    }
    class_table_clear(&manifest->classes);
    memory_free(manifest->unseen_rule);
    *manifest = (Manifest){0};
}

Status manifest_add_shard(ManifestSplit *split, const char *file, int64_t images, int64_t segments, int64_t bytes,
                          const char *digest)
{
    ManifestShard *larger = memory_resize(split->shards, (size_t)(split->shard_count + 1) * sizeof *larger);
    if (larger == NULL) return status_no_memory((size_t)split->shard_count, "a manifest");
    split->shards = larger;
    ManifestShard *shard = &larger[split->shard_count];
    *shard = (ManifestShard){.file = memory_copy_string(file), .images = images, .segments = segments, .bytes = bytes};
    if (shard->file == NULL) return status_no_memory(strlen(file), "a manifest");
    snprintf(shard->digest, sizeof shard->digest, "%s", digest);
    split->shard_count++;
    split->images += images;
    split->segments += segments;
    return OK;
}

static void write_split(JsonWriter *writer, const char *name, const ManifestSplit *split)
{
    json_key(writer, name);
    json_begin_object(writer);
    json_key(writer, "images");
    json_integer(writer, split->images);
    json_key(writer, "segments");
    json_integer(writer, split->segments);
    json_key(writer, "shards");
    json_begin_array(writer);
    for (int64_t i = 0; i < split->shard_count; i++) {
        const ManifestShard *shard = &split->shards[i];
        json_begin_object(writer);
        json_key(writer, "file");
        json_string(writer, shard->file);
        json_key(writer, "images");
        json_integer(writer, shard->images);
        json_key(writer, "segments");
        json_integer(writer, shard->segments);
        json_key(writer, "bytes");
        json_integer(writer, shard->bytes);
        json_key(writer, "digest");
        json_string(writer, shard->digest);
        json_end_object(writer);
    }
    json_end_array(writer);
    json_end_object(writer);
}

Status manifest_write(const char *directory, const Manifest *manifest)
{
    char *path = manifest_path(directory);
    if (path == NULL) return status_no_memory(strlen(directory), "manifest.json");
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "format");
    json_string(&writer, FORMAT_NAME);
    json_key(&writer, "version");
    json_integer(&writer, DATASET_VERSION);
    json_key(&writer, "unseen_rule");
    json_string(&writer, manifest->unseen_rule);
    json_key(&writer, "long_side");
    json_integer(&writer, manifest->long_side);
    json_key(&writer, "classes");
    class_table_write_json(&writer, &manifest->classes);
    for (int s = 0; s < SPLIT_COUNT; s++) write_split(&writer, SPLIT_NAMES[s], &manifest->splits[s]);
    json_end_object(&writer);
    text_append(&writer.text, "\n");
    Status status = writer.text.failed ? status_no_memory(writer.text.capacity, path)
                                       : file_write(path, writer.text.data, writer.text.length);
    text_free(&writer.text);
    memory_free(path);
    return status;
}

static Status read_shard(const Json *object, const char *source, ManifestSplit *split)
{
    const char *file, *digest;
    int64_t images, segments, bytes;
    Hash128 hash;
    TRY(json_get_string(object, "file", source, &file));
    TRY(json_get_string(object, "digest", source, &digest));
    TRY(json_get_integer(object, "images", source, &images));
    TRY(json_get_integer(object, "segments", source, &segments));
    TRY(json_get_integer(object, "bytes", source, &bytes));
    if (strchr(file, '/') != NULL || !hash_from_hex(digest, &hash) || images < 0 || segments < 0)
        return status_error(STATUS_CORRUPT, "%s: shard %s: nonsense", source, file);
    return manifest_add_shard(split, file, images, segments, bytes, digest);
}

static Status read_split(const Json *root, const char *name, const char *source, ManifestSplit *split)
{
    const Json *object = json_member(root, name), *shards = json_member(object, "shards");
    int64_t images, segments;
    if (shards == NULL || shards->type != JSON_ARRAY)
        return status_error(STATUS_CORRUPT, "%s: split %s isn't whole", source, name);
    TRY(json_get_integer(object, "images", source, &images));
    TRY(json_get_integer(object, "segments", source, &segments));
    for (size_t i = 0; i < shards->count; i++) TRY(read_shard(&shards->items[i], source, split));
    if (split->images != images || split->segments != segments)
        return status_error(STATUS_CORRUPT, "%s: split %s: its shards don't add up", source, name);
    return OK;
}

static Status read_root(const Json *root, const char *source, Manifest *manifest)
{
    const char *rule;
    int64_t version;
    const Json *named = json_member(root, "format");
    if (named == NULL || named->type != JSON_STRING || strcmp(named->string, FORMAT_NAME) != 0)
        return status_error(STATUS_INVALID, "%s: not the manifest of a data set", source);
    TRY(json_get_integer(root, "version", source, &version));
    if (version != DATASET_VERSION)
        return status_error(STATUS_VERSION, "%s: data set of version %lld; this program reads version %d: import it anew",
                            source, (long long)version, DATASET_VERSION);
    TRY(json_get_string(root, "unseen_rule", source, &rule));
    TRY(json_get_integer(root, "long_side", source, &manifest->long_side));
    manifest->unseen_rule = memory_copy_string(rule);
    if (manifest->unseen_rule == NULL) return status_no_memory(strlen(rule), source);
    TRY(class_table_read_json(json_member(root, "classes"), source, &manifest->classes));
    for (int s = 0; s < SPLIT_COUNT; s++) TRY(read_split(root, SPLIT_NAMES[s], source, &manifest->splits[s]));
    return OK;
}

/* The text is the writer's own, so whatever is wrong with its JSON is damage. */
static Status as_corrupt(Status status)
{
    if (status_code(status) != STATUS_INVALID && status_code(status) != STATUS_NOT_FOUND) return status;
    Status corrupt = status_error(STATUS_CORRUPT, "%s", status_message(status));
    status_free(status);
    return corrupt;
}

Status manifest_read(const char *directory, Manifest *manifest)
{
    *manifest = (Manifest){0};
    char *path = manifest_path(directory), *text = NULL;
    size_t bytes = 0;
    if (path == NULL) return status_no_memory(strlen(directory), "manifest.json");
    Json *root = NULL;
    Status status = file_read(path, (size_t)1 << 30, &text, &bytes);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = status_error(STATUS_NOT_FOUND, "%s: absent: no data set there, or its import isn't finished", path);
    }
    if (status == OK) status = as_corrupt(json_parse(text, bytes, path, &root));
    if (status == OK) status = as_corrupt(read_root(root, path, manifest));
    json_destroy(root);
    memory_free(text);
    memory_free(path);
    if (status != OK) manifest_clear(manifest);
    return status;
}
