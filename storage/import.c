/* Import: what is kept, which shard it goes to, and the shards' writing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/class_table.h"
#include "storage/import_private.h"

/* ---- which ---- */

static const char *rule_name(bool ignore_unseen)
{
    return ignore_unseen ? "ignore" : "drop";
}

static Status unknown_class(const ClassTable *classes, const char *name, const char *json)
{
    int best = -1, best_distance = 1 + (int)strlen(name) / 3;
    for (int i = 0; i < classes->count; i++) {
        int distance = text_distance(name, classes->entries[i].name);
        if (distance > best_distance || (distance == best_distance && best >= 0)) continue;
        best = i;
        best_distance = distance;
    }
    if (best >= 0)
        return status_error(STATUS_INVALID, "unseen class \"%s\" is no category of %s; did you mean \"%s\"?", name, json,
                            classes->entries[best].name);
    return status_error(STATUS_INVALID, "unseen class \"%s\" is no category of %s", name, json);
}

static Status mark_unseen(ClassTable *classes, char *const *names, int count, const char *json)
{
    for (int i = 0; i < count; i++) {
        int found = class_table_find(classes, names[i]);
        if (found < 0) found = class_table_find_loosely(classes, names[i], strlen(names[i]));
        if (found < 0) return unknown_class(classes, names[i], json);
        if (classes->entries[found].is_unseen)
            return status_error(STATUS_INVALID, "unseen class \"%s\" is named twice", names[i]);
        classes->entries[found].is_unseen = true;
    }
    class_table_count(classes);
    if (classes->seen_count == 0) return status_error(STATUS_INVALID, "all classes of %s are unseen", json);
    return OK;
}

static bool has_unseen(const ImportSplit *split, const ClassTable *classes, const CocoImage *image)
{
    const CocoSegment *segments = split->set.segments + image->first_segment;
    for (int32_t i = 0; i < image->segment_count; i++)
        if (classes->entries[segments[i].class_index].is_unseen) return true;
    return false;
}

static Status choose_images(Import *import, int number)
{
    ImportSplit *split = &import->splits[number];
    const CocoSet *set = &split->set;
    bool drop = number == SPLIT_TRAIN && !import->ignore_unseen && !import_has_labels(import->format);
    split->kept = memory_alloc(((size_t)set->image_count + 1) * sizeof *split->kept);
    if (split->kept == NULL) return status_no_memory((size_t)set->image_count * sizeof *split->kept, set->path);
    for (int64_t i = 0; i < set->image_count; i++)
        if (!drop || !has_unseen(split, &import->classes, &set->images[i])) split->kept[split->kept_count++] = i;
    if (split->kept_count == 0 && number == SPLIT_TRAIN)
        return status_error(STATUS_INVALID, "%s: no image is left%s", set->path,
                            drop && set->image_count > 0 ? ": each has an unseen class (the rule is drop)" : "");
    split->shard_count = (split->kept_count + import->shard_images - 1) / import->shard_images;
    LOG_DEBUG("%s: %" PRId64 " of %" PRId64 " images kept", set->path, split->kept_count, set->image_count);
    return OK;
}

static Status copy_path(const char *path, char **copy)
{
    if (path == NULL) return OK;
    *copy = memory_copy_string(path);
    return *copy == NULL ? status_no_memory(256, "paths of the data set") : OK;
}

static Status copy_source(const CocoSource *source, ImportSplit *split)
{
    TRY(copy_path(source->json, &split->json));
    TRY(copy_path(source->images, &split->images));
    return copy_path(source->panoptic, &split->panoptic);
}

/* The training classes, and both splits' images. */
static Status read_sources(const ImportOptions *options, Import *import)
{
    ImportSplit *train = &import->splits[SPLIT_TRAIN];
    for (int s = 0; s < SPLIT_COUNT; s++) {
        ImportSplit *split = &import->splits[s];
        if (import->format == IMPORT_COCO_PANOPTIC) TRY(coco_json_read(split->json, &split->set));
        else if (import->format == IMPORT_COCO_INSTANCES) TRY(import_instances_read(split));
        else TRY(import_labels_list(import, s));
    }
    if (!import_has_labels(import->format)) return class_table_copy(&train->set.classes, &import->classes);
    const bool instances = import->format == IMPORT_ADE20K_FULL || train->objects != NULL;
    if ((train->objects == NULL) != (import->splits[SPLIT_VAL].objects == NULL))
        return status_error(STATUS_INVALID, "%s: only one of the splits has SegmentationObject beside it", train->panoptic);
    TRY(label_classes_read(options->classes, import->format, instances, &import->labels));
    return class_table_copy(&import->labels.classes, &import->classes);
}

/* Segments' classes as places in the table. */
static Status join_sources(Import *import)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (import->format == IMPORT_COCO_PANOPTIC) TRY(coco_resolve(&import->splits[s].set, &import->classes));
        if (import->format == IMPORT_COCO_INSTANCES) TRY(import_instances_join(&import->splits[s], &import->classes));
    }
    return OK;
}

static Status set_up(const ImportOptions *options, Import *import)
{
    if (options->shard_images < 1) return status_error(STATUS_INVALID, "images of a shard: must be at least 1");
    if (options->long_side < 0) return status_error(STATUS_INVALID, "long side: must not be negative");
    import->format = options->format;
    import->encoded = options->encoded;
    import->ignore_unseen = options->ignore_unseen;
    import->long_side = options->long_side;
    import->shard_images = options->shard_images;
    import->output = memory_copy_string(options->output);
    if (import->output == NULL) return status_no_memory(256, "paths of the data set");
    TRY(copy_source(&options->train, &import->splits[SPLIT_TRAIN]));
    TRY(copy_source(&options->val, &import->splits[SPLIT_VAL]));
    TRY(read_sources(options, import));
    TRY(mark_unseen(&import->classes, options->unseen, options->unseen_count,
                    options->classes != NULL ? options->classes : import->splits[SPLIT_TRAIN].set.path));
    TRY(join_sources(import));
    int64_t shards = 0;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        TRY(choose_images(import, s));
        import->splits[s].first_shard = shards;
        shards += import->splits[s].shard_count;
    }
    JsonWriter writer = {0};
    class_table_write_json(&writer, &import->classes);
    import->classes_json = writer.text.failed ? NULL : memory_copy_string(text_string(&writer.text));
    text_free(&writer.text);
    if (import->classes_json == NULL) return status_no_memory(1024, "a class table");
    return import_buffers_create(&import->buffers);
}

Status import_create(const ImportOptions *options, Import **out)
{
    *out = NULL;
    Import *import = memory_alloc_zero(1, sizeof *import);
    if (import == NULL) return status_no_memory(sizeof *import, "import");
    Status status = set_up(options, import);
    if (status != OK) {
        import_destroy(import);
        return status;
    }
    *out = import;
    return OK;
}

void import_destroy(Import *import)
{
    if (import == NULL) return;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        ImportSplit *split = &import->splits[s];
        coco_set_clear(&split->set);
        instance_set_clear(&split->instances);
        memory_free(split->drawn_from);
        memory_free(split->objects);
        memory_free(split->kept);
        memory_free(split->json);
        memory_free(split->images);
        memory_free(split->panoptic);
    }
    class_table_clear(&import->classes);
    label_classes_clear(&import->labels);
    memory_free(import->classes_json);
    memory_free(import->output);
    import_buffers_clear(&import->buffers);
    memory_free(import);
}

int64_t import_shard_count(const Import *import)
{
    return import->splits[SPLIT_TRAIN].shard_count + import->splits[SPLIT_VAL].shard_count;
}

/* ---- one shard ---- */

typedef struct ShardTask {
    int split;
    int64_t number;       /* within its split */
    const int64_t *kept;  /* places of its images */
    int64_t images;
    char *path;
    char key[HASH_HEX_SIZE];
    /* What is stored, once the labels have been looked through. */
    CocoImage *stored;
    const CocoSegment *segments; /* stored[i].first_segment is a place in them */
    CocoSegment *own_segments;   /* NULL: they are the set's */
    int64_t own_count, own_capacity;
    ShardPlan plan;
} ShardTask;

static void task_clear(ShardTask *task)
{
    memory_free(task->path);
    memory_free(task->stored);
    memory_free(task->own_segments);
}

static Status add_file_size(const char *directory, const char *name, const ImportSplit *split, Hasher *hasher)
{
    char path[4096];
    struct stat info;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return status_error(STATUS_INVALID, "%s/%s: path too long", directory, name);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return status_error(STATUS_NOT_FOUND, "%s: absent; %s lists it", path, path_name(split->set.path));
    hasher_add_string(hasher, name);
    hasher_add_integer(hasher, info.st_size);
    return OK;
}

static void add_mask(const InstanceSet *set, int64_t number, Hasher *hasher)
{
    const InstanceAnnotation *annotation = &set->annotations[number];
    hasher_add_integer(hasher, annotation->mask);
    if (annotation->mask == MASK_TEXT) hasher_add(hasher, set->text + annotation->first, (size_t)annotation->count);
    else hasher_add(hasher, set->numbers + annotation->first, (size_t)annotation->count * sizeof *set->numbers);
}

/* All that the shard's contents come from; also where missing files are found, before any is decoded. */
static Status add_images(const Import *import, const ShardTask *task, Hasher *hasher)
{
    const ImportSplit *split = &import->splits[task->split];
    for (int64_t i = 0; i < task->images; i++) {
        const CocoImage *image = &split->set.images[task->kept[i]];
        const CocoSegment *segments = split->set.segments + image->first_segment;
        hasher_add_integer(hasher, image->id);
        hasher_add_integer(hasher, image->height);
        hasher_add_integer(hasher, image->width);
        hasher_add_integer(hasher, image->segment_count);
        for (int32_t k = 0; k < image->segment_count; k++) {
            hasher_add_integer(hasher, (int64_t)segments[k].id << 1 | segments[k].is_crowd);
            hasher_add_integer(hasher, segments[k].class_index);
        }
        if (import->format == IMPORT_COCO_INSTANCES)
            for (int32_t k = 0; k < image->segment_count; k++)
                add_mask(&split->instances, split->drawn_from[image->first_segment + k], hasher);
        TRY(add_file_size(split->images, image->file_name, split, hasher));
        if (image->map_name != NULL) TRY(add_file_size(split->panoptic, image->map_name, split, hasher));
        if (split->objects != NULL) TRY(add_file_size(split->objects, image->map_name, split, hasher));
    }
    return OK;
}

static Status task_key(const Import *import, ShardTask *task)
{
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return status_no_memory(1024, task->path);
    hasher_add_integer(hasher, DATASET_VERSION);
    hasher_add_string(hasher, SPLIT_NAMES[task->split]);
    hasher_add_string(hasher, rule_name(import->ignore_unseen));
    hasher_add_integer(hasher, import->long_side);
    hasher_add_string(hasher, import->classes_json);
    hasher_add_integer(hasher, import->format);
    hasher_add_integer(hasher, import->encoded);
    if (import->labels.class_of != NULL)
        hasher_add(hasher, import->labels.class_of, LABEL_VALUES * sizeof *import->labels.class_of);
    Status status = add_images(import, task, hasher);
    hash_to_hex(hasher_result(hasher), task->key);
    hasher_destroy(hasher);
    return status;
}

static Status make_task(const Import *import, int64_t shard, ShardTask *task)
{
    task->split = shard < import->splits[SPLIT_VAL].first_shard ? SPLIT_TRAIN : SPLIT_VAL;
    const ImportSplit *split = &import->splits[task->split];
    task->number = shard - split->first_shard;
    int64_t first = task->number * import->shard_images;
    task->kept = split->kept + first;
    task->images = split->kept_count - first < import->shard_images ? split->kept_count - first : import->shard_images;
    task->path = shard_path(import->output, SPLIT_NAMES[task->split], task->number);
    if (task->path == NULL) return status_no_memory(256, "a shard's name");
    return task_key(import, task);
}

/* Labels of one image, kept unless the rule drops it. */
static Status look_through(Import *import, ShardTask *task, const CocoImage *image, bool *keep)
{
    CocoImage *to = &task->stored[task->images];
    const CocoSegment *found = import->buffers.found;
    *to = *image;
    TRY(import_labels_read(import, task->split, image, &to->height, &to->width));
    to->segment_count = import->buffers.found_count;
    to->first_segment = task->own_count;
    *keep = true;
    for (int32_t k = 0; k < to->segment_count && task->split == SPLIT_TRAIN && !import->ignore_unseen; k++)
        if (import->classes.entries[found[k].class_index].is_unseen) *keep = false;
    if (!*keep) return OK;
    if (task->own_count + to->segment_count > task->own_capacity) {
        const int64_t capacity = 2 * task->own_capacity + to->segment_count + 64;
        CocoSegment *larger = memory_resize(task->own_segments, (size_t)capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory((size_t)capacity * sizeof *larger, task->path);
        task->own_segments = larger;
        task->own_capacity = capacity;
    }
    memcpy(task->own_segments + task->own_count, found, (size_t)to->segment_count * sizeof *found);
    task->own_count += to->segment_count;
    return OK;
}

/* The images that are stored, with their segments. */
static Status list_stored(Import *import, ShardTask *task)
{
    const CocoSet *set = &import->splits[task->split].set;
    const int64_t images = task->images;
    task->stored = memory_alloc(((size_t)images + 1) * sizeof *task->stored);
    if (task->stored == NULL) return status_no_memory((size_t)images * sizeof *task->stored, task->path);
    task->segments = set->segments;
    if (import_has_labels(import->format)) {
        task->images = 0;
        for (int64_t i = 0; i < images; i++) {
            bool keep;
            TRY(look_through(import, task, &set->images[task->kept[i]], &keep));
            task->images += keep;
        }
        task->segments = task->own_segments;
    } else {
        for (int64_t i = 0; i < images; i++) task->stored[i] = set->images[task->kept[i]];
    }
    return OK;
}

static Status add_photograph(const ImportSplit *split, const CocoImage *image, int64_t *total)
{
    int64_t bytes = 0;
    char *path = path_join(split->images, image->file_name);
    Status status = path == NULL ? status_no_memory(256, "a path") : file_size(path, &bytes);
    memory_free(path);
    *total += bytes;
    return status;
}

static Status make_plan(Import *import, ShardTask *task)
{
    TRY(list_stored(import, task));
    task->plan = (ShardPlan){.split = SPLIT_NAMES[task->split], .unseen_rule = rule_name(import->ignore_unseen),
                             .import_key = task->key, .classes = import->classes_json, .table = &import->classes,
                             .images = task->images, .encoded = import->encoded};
    for (int64_t i = 0; i < task->images; i++) {
        const CocoImage *image = &task->stored[i];
        int32_t height, width, stored = 0;
        import_stored_size(import, image, &height, &width);
        if (import->encoded) TRY(add_photograph(&import->splits[task->split], image, &task->plan.file_bytes));
        task->plan.pixels += (int64_t)height * width;
        task->plan.name_bytes += (int64_t)strlen(image->file_name);
        for (int32_t k = 0; k < image->segment_count; k++)
            stored += task->split != SPLIT_TRAIN ||
                      !import->classes.entries[task->segments[image->first_segment + k].class_index].is_unseen;
        task->plan.segments += stored;
        if (stored > task->plan.image_segments) task->plan.image_segments = stored;
    }
    return OK;
}

/* Whether the shard lies there already, whole, and made of the same. Whatever is wrong with it, it is made anew. */
static bool is_complete(ShardTask *task, Sample *sample)
{
    if (!file_exists(task->path)) return false;
    ShardIndex index;
    Status status = shard_index_read(task->path, &index);
    if (status == OK && strcmp(index.import_key, task->key) != 0)
        status = status_error(STATUS_INVALID, "%s: made of other sources or options", task->path);
    if (status == OK) status = shard_verify(&index, task->path, sample);
    if (status == OK) task->images = index.images;
    shard_index_clear(&index);
    if (status == OK) return true;
    LOG_INFO("written anew: %s", status_message(status));
    status_free(status);
    return false;
}

static Status write_shard(Import *import, const ShardTask *task)
{
    ShardWriter *writer;
    /* It describes the shards as they were. */
    char *manifest = manifest_path(import->output);
    Status status = manifest == NULL ? status_no_memory(256, "manifest.json") : file_remove(manifest);
    memory_free(manifest);
    if (status == OK) status = shard_writer_create(task->path, &task->plan, &writer);
    if (status != OK) return status;
    for (int64_t i = 0; status == OK && i < task->images; i++) {
        const CocoImage *image = &task->stored[i];
        status = import_image(import, task->split, image, task->segments + image->first_segment);
        if (status == OK)
            status = shard_writer_add(writer, &import->buffers.sample, import->buffers.photograph,
                                      import->buffers.photograph_bytes);
    }
    if (status == OK) return shard_writer_commit(writer);
    shard_writer_abandon(writer);
    return status;
}

Status import_shard(Import *import, int64_t shard, bool *skipped, int64_t *images)
{
    *skipped = false;
    *images = 0;
    if (shard < 0 || shard >= import_shard_count(import))
        return status_error(STATUS_INTERNAL, "shard %" PRId64 " of %" PRId64 " asked for", shard,
                            import_shard_count(import));
    ShardTask task = {0};
    Sample check = {0};
    Status status = make_task(import, shard, &task);
    if (status == OK) {
        *skipped = is_complete(&task, &check);
        if (!*skipped) status = make_plan(import, &task);
        if (!*skipped && status == OK) status = write_shard(import, &task);
    }
    if (status == OK) *images = task.images;
    sample_clear(&check);
    task_clear(&task);
    return status;
}

/* ---- all of them ---- */

static Status list_shard(const Import *import, int number, const char *path, ManifestSplit *split)
{
    ShardIndex index;
    TRY(shard_index_read(path, &index));
    Status status = OK;
    if (!class_table_equal(&index.classes, &import->classes) || strcmp(index.split, SPLIT_NAMES[number]) != 0)
        status = status_error(STATUS_INVALID, "%s: made with other classes; import it anew", path);
    else if (number == SPLIT_TRAIN && index.unseen_segments != 0)
        status = status_error(STATUS_INTERNAL, "%s: %" PRId64 " training segments of unseen classes", path,
                              index.unseen_segments);
    else status = manifest_add_shard(split, path_name(path), index.images, index.segments, index.bytes, index.digest);
    shard_index_clear(&index);
    return status;
}

/* Lists the shards there are, and removes those that an earlier import with more of them left behind. */
static Status list_split(const Import *import, int number, ManifestSplit *split)
{
    for (int64_t i = 0;; i++) {
        char *path = shard_path(import->output, SPLIT_NAMES[number], i);
        if (path == NULL) return status_no_memory(256, "a shard's name");
        bool ours = i < import->splits[number].shard_count, gone = !ours && !file_exists(path);
        Status status = ours ? list_shard(import, number, path, split) : file_remove(path);
        memory_free(path);
        if (status != OK || gone) return status;
    }
}

/* Temporary files that a killed import left: ".SPLIT-NNNNN.h5.*.tmp", ".manifest.json.*.tmp". No one writes any now. */
static Status remove_left_overs(const Import *import)
{
    char **names;
    size_t count;
    TRY(directory_list(import->output, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        size_t length = strlen(names[i]);
        bool ours = length > 4 && strcmp(names[i] + length - 4, ".tmp") == 0 &&
                    (strncmp(names[i], ".train-", 7) == 0 || strncmp(names[i], ".val-", 5) == 0 ||
                     strncmp(names[i], ".manifest.json.", 15) == 0);
        char *path = ours ? path_join(import->output, names[i]) : NULL;
        if (path != NULL) status = file_remove(path);
        memory_free(path);
    }
    names_free(names, count);
    return status;
}

Status import_finish(Import *import)
{
    Manifest manifest = {.long_side = import->long_side};
    Status status = class_table_copy(&import->classes, &manifest.classes);
    manifest.unseen_rule = memory_copy_string(rule_name(import->ignore_unseen));
    if (status == OK && manifest.unseen_rule == NULL) status = status_no_memory(16, "a manifest");
    for (int s = 0; status == OK && s < SPLIT_COUNT; s++) {
        status = list_split(import, s, &manifest.splits[s]);
        if (status == OK && s == SPLIT_TRAIN && manifest.splits[s].images == 0)
            status = status_error(STATUS_INVALID, "%s: no image is left: each has an unseen class (the rule is drop)",
                                  import->splits[s].set.path);
        if (status == OK && !import_has_labels(import->format) && manifest.splits[s].images != import->splits[s].kept_count)
            status = status_error(STATUS_INTERNAL, "%s: shards of split %s hold other images than were chosen",
                                  import->output, SPLIT_NAMES[s]);
    }
    if (status == OK) status = remove_left_overs(import);
    if (status == OK) status = manifest_write(import->output, &manifest);
    manifest_clear(&manifest);
    return status;
}

/* ---- what it depends on ---- */

static Status fingerprint_directory(const char *path, Hasher *hasher)
{
    char **names;
    size_t count;
    TRY(directory_list(path, &names, &count));
    Status status = OK;
    hasher_add_integer(hasher, (int64_t)count);
    for (size_t i = 0; status == OK && i < count; i++) {
        char full[4096];
        struct stat info;
        snprintf(full, sizeof full, "%s/%s", path, names[i]);
        hasher_add_string(hasher, names[i]);
        if (stat(full, &info) != 0) status = status_errno(errno, "look at", full);
        else if (S_ISDIR(info.st_mode)) status = fingerprint_directory(full, hasher);
        else hasher_add_integer(hasher, info.st_size);
    }
    names_free(names, count);
    return status;
}

static Status fingerprint_file(const char *path, Hasher *hasher)
{
    Hash128 hash;
    int64_t bytes;
    TRY(hash_file(path, &hash, &bytes));
    hasher_add(hasher, &hash, sizeof hash);
    hasher_add_integer(hasher, bytes);
    return OK;
}

static Status fingerprint_objects(const CocoSource *source, Hasher *hasher)
{
    char *objects = path_beside(source->panoptic, "SegmentationObject");
    if (objects == NULL) return status_no_memory(256, "a path");
    Status status = file_exists(objects) ? fingerprint_directory(objects, hasher) : OK;
    memory_free(objects);
    return status;
}

static Status begin_part(Hasher *hasher, const char *const *parts, int part)
{
    return parts != NULL ? hasher_begin_part(hasher, parts[part]) : OK;
}

Status import_fingerprint(const ImportOptions *options, const char *const parts[7], Hasher *hasher)
{
    const CocoSource *sources[] = {&options->train, &options->val};
    for (int s = 0; s < SPLIT_COUNT; s++) {
        TRY(begin_part(hasher, parts, 3 * s));
        if (sources[s]->json != NULL) TRY(fingerprint_file(sources[s]->json, hasher));
        TRY(begin_part(hasher, parts, 3 * s + 1));
        TRY(fingerprint_directory(sources[s]->images, hasher));
        TRY(begin_part(hasher, parts, 3 * s + 2));
        if (sources[s]->panoptic != NULL) TRY(fingerprint_directory(sources[s]->panoptic, hasher));
        if (options->format == IMPORT_VOC) TRY(fingerprint_objects(sources[s], hasher));
    }
    if (options->classes == NULL) return OK;
    TRY(begin_part(hasher, parts, 6));
    return fingerprint_file(options->classes, hasher);
}

static Status add_name(char ***names, size_t *count, const char *from, size_t bytes)
{
    char **larger = memory_resize(*names, (*count + 1) * sizeof *larger);
    if (larger == NULL) return status_no_memory((*count + 1) * sizeof *larger, "names");
    *names = larger;
    larger[*count] = memory_format("%.*s", (int)bytes, from);
    if (larger[*count] == NULL) return status_no_memory(bytes, "names");
    ++*count;
    return OK;
}

Status unseen_names_read(const char *path, char ***names, size_t *count)
{
    char *text;
    size_t length;
    *names = NULL;
    *count = 0;
    TRY(file_read(path, 1 << 24, &text, &length));
    Status status = OK;
    if (memchr(text, '\0', length) != NULL) status = status_error(STATUS_INVALID, "%s: not a text file", path);
    for (const char *line = text; status == OK && *line != '\0';) {
        size_t bytes = strcspn(line, "\n"), used = strcspn(line, "#\n"), start = strspn(line, " \t\r");
        const char *next = line + bytes + (line[bytes] == '\n');
        while (used > start && strchr(" \t\r", line[used - 1]) != NULL) used--;
        if (used > start) status = add_name(names, count, line + start, used - start);
        line = next;
    }
    memory_free(text);
    if (status != OK) {
        names_free(*names, *count);
        *names = NULL;
        *count = 0;
    }
    return status;
}
