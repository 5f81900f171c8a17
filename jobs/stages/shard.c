/* Stage "shard": a data set in any of the layouts of storage/coco.h to HDF5
 * shards. A step is one shard on every rank. */
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/stage.h"
#include "jobs/stages/data_paths.h"
#include "storage/coco.h"

typedef struct ShardState {
    Import *import;
    Comm *comm;
    int64_t shards;
    char *paths[6], *classes; /* NULL: none */
    char **unseen;
    size_t unseen_count;
} ShardState;

enum { TRAIN_JSON, TRAIN_IMAGES, TRAIN_PANOPTIC, VAL_JSON, VAL_IMAGES, VAL_PANOPTIC, PATH_COUNT };
_Static_assert((int)TRAIN_PANOPTIC == (int)IMPORT_PATH_PNGS && (int)VAL_JSON == (int)IMPORT_PATH_COUNT,
               "a split's paths in the layouts' order");
static const char *const PATH_KEYS[PATH_COUNT + 1] = {"data.train_json", "data.train_images", "data.train_panoptic",
                                                      "data.val_json",   "data.val_images",   "data.val_panoptic",
                                                      "data.classes"};

static void clear_state(ShardState *state)
{
    for (int i = 0; i < PATH_COUNT; i++) memory_free(state->paths[i]);
    memory_free(state->classes);
    names_free(state->unseen, state->unseen_count);
}

static Status read_unseen(const Config *config, ShardState *state)
{
    bool by_file = config_string(config, "data.unseen_file")[0] != '\0';
    int64_t count = config_list_count(config, "data.unseen");
    if (by_file && count > 0)
        return status_error(STATUS_INVALID, "data.unseen and data.unseen_file are both set: leave one of them out");
    if (by_file) {
        char *path;
        TRY(data_path(config, "data.unseen_file", &path));
        Status status = unseen_names_read(path, &state->unseen, &state->unseen_count);
        memory_free(path);
        return status;
    }
    state->unseen = memory_alloc_zero((size_t)count + 1, sizeof *state->unseen);
    if (state->unseen == NULL) return status_no_memory((size_t)count, "names of unseen classes");
    for (int64_t i = 0; i < count; i++) {
        state->unseen[i] = memory_copy_string(config_list_string(config, "data.unseen", i));
        if (state->unseen[i] == NULL) return status_no_memory(64, "names of unseen classes");
        state->unseen_count++;
    }
    return OK;
}

/* Each path as its key says, or else where the layout has it; the PNGs of a panoptic JSON have its name. */
static Status read_paths(const Config *config, ImportFormat format, ShardState *state)
{
    for (int i = 0; i < PATH_COUNT; i++) {
        const char *given = config_string(config, PATH_KEYS[i]);
        if (given[0] == '\0') given = import_default_path(format, i / IMPORT_PATH_COUNT, i % IMPORT_PATH_COUNT);
        if (given != NULL) {
            TRY(data_path_of(config, given, &state->paths[i]));
        } else if (format == IMPORT_COCO_PANOPTIC) {
            const char *json = state->paths[i - IMPORT_PATH_PNGS];
            const size_t length = strlen(json), ending = length > 5 && strcmp(json + length - 5, ".json") == 0 ? 5 : 0;
            state->paths[i] = memory_format("%.*s", (int)(length - ending), json);
            if (state->paths[i] == NULL) return status_no_memory(256, "paths of the data set");
        }
    }
    const char *classes = config_string(config, "data.classes");
    if (classes[0] == '\0') classes = import_default_classes(format);
    return classes == NULL ? OK : data_path_of(config, classes, &state->classes);
}

/* Fills `options` from the config; what it points to lives in `state`. */
static Status read_options(const Config *config, ShardState *state, ImportOptions *options)
{
    ImportFormat format;
    if (!import_format_from_name(config_string(config, "data.format"), &format))
        return status_error(STATUS_INTERNAL, "data.format: no layout '%s'", config_string(config, "data.format"));
    TRY(read_paths(config, format, state));
    TRY(read_unseen(config, state));
    *options = (ImportOptions){
        .train = {state->paths[TRAIN_JSON], state->paths[TRAIN_IMAGES], state->paths[TRAIN_PANOPTIC]},
        .val = {state->paths[VAL_JSON], state->paths[VAL_IMAGES], state->paths[VAL_PANOPTIC]},
        .format = format,
        .classes = state->classes,
        .encoded = strcmp(config_string(config, "data.store"), "encoded") == 0,
        .unseen = state->unseen,
        .unseen_count = (int)state->unseen_count,
        .ignore_unseen = strcmp(config_string(config, "data.unseen_rule"), "ignore") == 0,
        .long_side = (int)config_integer(config, "data.long_side"),
        .shard_images = (int)config_integer(config, "data.shard_images"),
    };
    return OK;
}

static Status shard_fingerprint(const Config *config, Hasher *hasher)
{
    ShardState state = {0};
    ImportOptions options;
    Status status = read_options(config, &state, &options);
    if (status == OK) status = hasher_begin_part(hasher, "data.unseen_file");
    if (status == OK) {
        for (size_t i = 0; i < state.unseen_count; i++) hasher_add_string(hasher, state.unseen[i]);
        status = import_fingerprint(&options, PATH_KEYS, hasher);
    }
    clear_state(&state);
    return status;
}

static void shard_destroy(void *pointer)
{
    ShardState *state = pointer;
    if (state == NULL) return;
    import_destroy(state->import);
    clear_state(state);
    memory_free(state);
}

static Status shard_start(const StageContext *context, void **out, int64_t *total)
{
    ShardState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "stage shard");
    *out = state;
    state->comm = context->comm;
    ImportOptions options;
    TRY(read_options(context->config, state, &options));
    options.output = context->output;
    TRY(comm_agree(state->comm, import_create(&options, &state->import)));
    state->shards = import_shard_count(state->import);
    int size = comm_size(state->comm);
    *total = (state->shards + size - 1) / size;
    return OK;
}

static Status shard_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    ShardState *state = pointer;
    int64_t shard = step * comm_size(state->comm) + comm_rank(state->comm), images = 0;
    bool skipped = false;
    Status status = shard < state->shards ? import_shard(state->import, shard, &skipped, &images) : OK;
    TRY(comm_agree(state->comm, status));
    TRY(comm_sum_integers(state->comm, &images, 1));
    stage_metric(metrics, "images", (double)images);
    return OK;
}

static Status shard_finish(void *pointer)
{
    ShardState *state = pointer;
    return comm_agree(state->comm, comm_rank(state->comm) == 0 ? import_finish(state->import) : OK);
}

const Stage STAGE_DEF_SHARD = {
    .id = STAGE_SHARD,
    .version = 1,
    .unit = "shards",
    .parallel = true,
    .fingerprint = shard_fingerprint,
    .start = shard_start,
    .step = shard_step,
    .finish = shard_finish,
    .destroy = shard_destroy,
};
