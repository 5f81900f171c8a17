/* zeroth data: make, import, describe and check data sets. */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "framework/comm.h"
#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/progress.h"
#include "storage/coco.h"
#include "storage/describe.h"
#include "storage/synth.h"

/* ---- import ---- */

/* What the flags of `import` said; strings belong to argv. */
typedef struct ImportFlags {
    const char *root, *output, *unseen, *rule, *format, *store, *classes;
    const char *sources[6];
    int64_t long_side, shard_images;
} ImportFlags;

enum { TRAIN_JSON, TRAIN_IMAGES, TRAIN_PANOPTIC, VAL_JSON, VAL_IMAGES, VAL_PANOPTIC, SOURCE_COUNT };

/* Paths and names made of the flags; the options point into it. */
typedef struct ImportSetup {
    char *paths[SOURCE_COUNT], *classes; /* NULL: none */
    char **unseen;
    size_t unseen_count;
    ImportOptions options;
} ImportSetup;

static void setup_clear(ImportSetup *setup)
{
    for (int i = 0; i < SOURCE_COUNT; i++) memory_free(setup->paths[i]);
    memory_free(setup->classes);
    names_free(setup->unseen, setup->unseen_count);
}

/* A file of names, or the names themselves with commas between. */
static Status read_unseen(const char *text, ImportSetup *setup)
{
    if (text == NULL || text[0] == '\0') return OK;
    if (file_exists(text)) return unseen_names_read(text, &setup->unseen, &setup->unseen_count);
    if (strchr(text, '/') != NULL && strchr(text, ',') == NULL)
        return status_error(STATUS_NOT_FOUND, "data import: --unseen: %s: no such file", text);
    size_t most = 1;
    for (const char *c = text; *c != '\0'; c++) most += *c == ',';
    setup->unseen = memory_alloc_zero(most, sizeof *setup->unseen);
    if (setup->unseen == NULL) return status_no_memory(most * sizeof *setup->unseen, "names of unseen classes");
    for (const char *at = text; *at != '\0';) {
        size_t bytes = strcspn(at, ",");
        if (bytes > 0) {
            char *name = memory_format("%.*s", (int)bytes, at);
            if (name == NULL) return status_no_memory(bytes, "names of unseen classes");
            setup->unseen[setup->unseen_count++] = name;
        }
        at += bytes + (at[bytes] == ',');
    }
    return OK;
}

static Status make_path(const char *root, const char *given, char **path)
{
    if (given == NULL) return OK;
    *path = given[0] == '/' ? memory_copy_string(given) : path_join(root, given);
    return *path == NULL ? status_no_memory(256, "paths of the data set") : OK;
}

/* Each path as its flag says, or else where the layout has it; the PNGs of a panoptic JSON have its name. */
static Status make_paths(const ImportFlags *flags, ImportFormat format, ImportSetup *setup)
{
    for (int i = 0; i < SOURCE_COUNT; i++) {
        const char *given = flags->sources[i];
        if (given == NULL) given = import_default_path(format, i / IMPORT_PATH_COUNT, i % IMPORT_PATH_COUNT);
        TRY(make_path(flags->root, given, &setup->paths[i]));
        if (setup->paths[i] != NULL || format != IMPORT_COCO_PANOPTIC) continue;
        const char *json = setup->paths[i - IMPORT_PATH_PNGS];
        const size_t length = strlen(json), ending = length > 5 && strcmp(json + length - 5, ".json") == 0 ? 5 : 0;
        setup->paths[i] = memory_format("%.*s", (int)(length - ending), json);
        if (setup->paths[i] == NULL) return status_no_memory(256, "paths of the data set");
    }
    return make_path(flags->root, flags->classes != NULL ? flags->classes : import_default_classes(format), &setup->classes);
}

static Status make_setup(const ImportFlags *flags, ImportSetup *setup)
{
    if (flags->root == NULL) return status_error(STATUS_USAGE, "data import: --root DIR is missing");
    if (flags->output == NULL) return status_error(STATUS_USAGE, "data import: --output DIR is missing");
    bool ignore = strcmp(flags->rule, "ignore") == 0;
    if (!ignore && strcmp(flags->rule, "drop") != 0)
        return status_error(STATUS_USAGE, "data import: --unseen-rule is drop or ignore, not '%s'", flags->rule);
    if (flags->long_side < 0 || flags->long_side > 16384)
        return status_error(STATUS_USAGE, "data import: --long-side is 0 to 16384");
    if (flags->shard_images < 1 || flags->shard_images > 1000000)
        return status_error(STATUS_USAGE, "data import: --shard-images is 1 to 1000000");
    ImportFormat format;
    if (!import_format_from_name(flags->format, &format))
        return status_error(STATUS_USAGE, "data import: no format '%s': see zeroth data --help", flags->format);
    const bool encoded = strcmp(flags->store, "encoded") == 0;
    if (!encoded && strcmp(flags->store, "decoded") != 0)
        return status_error(STATUS_USAGE, "data import: --store is decoded or encoded, not '%s'", flags->store);
    TRY(make_paths(flags, format, setup));
    TRY(read_unseen(flags->unseen, setup));
    setup->options = (ImportOptions){
        .train = {setup->paths[TRAIN_JSON], setup->paths[TRAIN_IMAGES], setup->paths[TRAIN_PANOPTIC]},
        .val = {setup->paths[VAL_JSON], setup->paths[VAL_IMAGES], setup->paths[VAL_PANOPTIC]},
        .format = format, .classes = setup->classes, .encoded = encoded, .unseen = setup->unseen, .unseen_count = (int)setup->unseen_count, .ignore_unseen = ignore,
        .long_side = (int)flags->long_side, .shard_images = (int)flags->shard_images, .output = flags->output};
    return OK;
}

/* Shards in turns, one a rank, so that a failure on one rank ends all. Collective. */
static Status import_shards(Import *import, Comm *comm)
{
    const int64_t shards = import_shard_count(import), size = comm_size(comm);
    int64_t totals[3] = {0, 0, 0}; /* shards, of them skipped, images */
    Progress *progress = comm_rank(comm) == 0 ? progress_create("import", shards, "shards") : NULL;
    Status status = OK;
    for (int64_t turn = 0; status == OK && turn * size < shards; turn++) {
        int64_t mine = turn * size + comm_rank(comm), done[3] = {0, 0, 0};
        bool skipped = false;
        if (mine < shards) {
            status = import_shard(import, mine, &skipped, &done[2]);
            done[0] = 1;
            done[1] = skipped;
        }
        status = comm_agree(comm, status);
        if (status == OK) status = comm_sum_integers(comm, done, 3);
        for (int i = 0; i < 3; i++) totals[i] += done[i];
        progress_update(progress, totals[0], NULL);
    }
    progress_destroy(progress);
    if (status == OK && comm_rank(comm) == 0)
        LOG_INFO("%lld images in %lld shards, %lld of them there already", (long long)totals[2], (long long)totals[0],
                 (long long)totals[1]);
    return status;
}

static Status import_all(const ImportOptions *options, Comm *comm)
{
    Import *import = NULL;
    Status status = comm_rank(comm) == 0 ? directory_create(options->output) : OK;
    status = comm_agree(comm, status);
    if (status == OK) status = comm_agree(comm, import_create(options, &import));
    if (status == OK) status = import_shards(import, comm);
    if (status == OK) status = comm_agree(comm, comm_rank(comm) == 0 ? import_finish(import) : OK);
    import_destroy(import);
    return status;
}

static Status run_import(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    ImportFlags given = {.rule = "drop", .shard_images = 512, .format = "coco_panoptic", .store = "decoded"};
    const Flag flags[] = {
        {"--root", NULL, FLAG_STRING, &given.root},
        {"--output", "-o", FLAG_STRING, &given.output},
        {"--format", NULL, FLAG_STRING, &given.format},
        {"--store", NULL, FLAG_STRING, &given.store},
        {"--classes", NULL, FLAG_STRING, &given.classes},
        {"--train-json", NULL, FLAG_STRING, &given.sources[TRAIN_JSON]},
        {"--train-images", NULL, FLAG_STRING, &given.sources[TRAIN_IMAGES]},
        {"--train-panoptic", NULL, FLAG_STRING, &given.sources[TRAIN_PANOPTIC]},
        {"--val-json", NULL, FLAG_STRING, &given.sources[VAL_JSON]},
        {"--val-images", NULL, FLAG_STRING, &given.sources[VAL_IMAGES]},
        {"--val-panoptic", NULL, FLAG_STRING, &given.sources[VAL_PANOPTIC]},
        {"--unseen", NULL, FLAG_STRING, &given.unseen},
        {"--unseen-rule", NULL, FLAG_STRING, &given.rule},
        {"--long-side", NULL, FLAG_INTEGER, &given.long_side},
        {"--shard-images", NULL, FLAG_INTEGER, &given.shard_images},
    };
    ImportSetup setup = {0};
    Comm *comm = NULL;
    Status status = flags_parse(flags, (int)(sizeof flags / sizeof flags[0]), &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 0, "no arguments but flags");
    if (status == OK) status = make_setup(&given, &setup);
    /* The same flags on all ranks: they fail above together, before MPI starts. */
    if (status == OK) status = comm_create(&comm);
    if (status == OK) {
        log_set_rank(comm_rank(comm));
        status = import_all(&setup.options, comm);
        /* Another rank failed and says why: one line, and its exit code is mpirun's. */
        if (status_code(status) == STATUS_CHILD && comm_size(comm) > 1) {
            status_free(status);
            status = OK;
        }
    }
    comm_destroy(comm);
    setup_clear(&setup);
    arguments_free(&arguments);
    return status;
}

/* ---- synth ---- */

/* Integers of the command line that become smaller ones; a value that doesn't fit is left to synth_write to refuse. */
static int clamp_int(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int)value;
}

static Status parse_size(const char *text, SynthOptions *options)
{
    if (text == NULL) return OK;
    int used = 0;
    if (sscanf(text, "%dx%d%n", &options->height, &options->width, &used) == 2 && text[used] == '\0') return OK;
    return status_error(STATUS_USAGE, "data synth: --size is HEIGHTxWIDTH, as 64x96, not '%s'", text);
}

static Status run_synth(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    SynthOptions o = synth_defaults();
    const char *size = NULL;
    int64_t seed = (int64_t)o.seed, things = o.things, unseen_things = o.unseen_things, stuff = o.stuff;
    int64_t unseen_stuff = o.unseen_stuff, vector_dim = o.vector_dim, quality = o.quality, min_area = o.min_area;
    const Flag flags[] = {
        {"--output", "-o", FLAG_STRING, &o.output},
        {"--train", NULL, FLAG_INTEGER, &o.train_images},
        {"--val", NULL, FLAG_INTEGER, &o.val_images},
        {"--size", NULL, FLAG_STRING, &size},
        {"--seed", NULL, FLAG_INTEGER, &seed},
        {"--things", NULL, FLAG_INTEGER, &things},
        {"--unseen-things", NULL, FLAG_INTEGER, &unseen_things},
        {"--stuff", NULL, FLAG_INTEGER, &stuff},
        {"--unseen-stuff", NULL, FLAG_INTEGER, &unseen_stuff},
        {"--unseen-rate", NULL, FLAG_REAL, &o.unseen_rate},
        {"--noise", NULL, FLAG_REAL, &o.noise},
        {"--lighting", NULL, FLAG_REAL, &o.lighting},
        {"--hue-spread", NULL, FLAG_REAL, &o.hue_spread},
        {"--vector-dim", NULL, FLAG_INTEGER, &vector_dim},
        {"--vector-noise", NULL, FLAG_REAL, &o.vector_noise},
        {"--quality", NULL, FLAG_INTEGER, &quality},
        {"--min-area", NULL, FLAG_INTEGER, &min_area},
    };
    Status status = flags_parse(flags, (int)(sizeof flags / sizeof flags[0]), &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 0, "no arguments but flags");
    if (status == OK && o.output == NULL) status = status_error(STATUS_USAGE, "data synth: --output DIR is missing");
    if (status == OK) status = parse_size(size, &o);
    o.seed = (uint64_t)seed;
    o.things = clamp_int(things);
    o.unseen_things = clamp_int(unseen_things);
    o.stuff = clamp_int(stuff);
    o.unseen_stuff = clamp_int(unseen_stuff);
    o.vector_dim = clamp_int(vector_dim);
    o.quality = clamp_int(quality);
    o.min_area = clamp_int(min_area);
    if (status == OK) status = synth_write(&o);
    if (status == OK)
        LOG_INFO("%s: %lld training and %lld test images of %d classes, %d of them unseen", o.output,
                 (long long)o.train_images, (long long)o.val_images, o.things + o.stuff, o.unseen_things + o.unseen_stuff);
    arguments_free(&arguments);
    return status;
}

/* ---- info, verify ---- */

static Status run_on_paths(int argc, char **argv, Status (*act)(const char *path, FILE *out))
{
    CommonFlags common = {0};
    Arguments arguments;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1000, "DIR or FILE ...");
    for (int i = 0; status == OK && i < arguments.count; i++) status = act(arguments.items[i], stdout);
    arguments_free(&arguments);
    return status;
}

static Status run_info(int argc, char **argv)
{
    return run_on_paths(argc, argv, store_describe);
}

static Status run_verify(int argc, char **argv)
{
    return run_on_paths(argc, argv, store_verify);
}

/* Titles are what error lines about flags begin with. */
static struct { const char *name; char title[12]; Status (*run)(int argc, char **argv); } ACTIONS[] = {
    {"synth", "data synth", run_synth}, {"import", "data import", run_import},
    {"info", "data info", run_info},    {"verify", "data verify", run_verify}};

int command_data(int argc, char **argv)
{
    const size_t count = sizeof ACTIONS / sizeof ACTIONS[0];
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], ACTIONS[i].name) != 0) continue;
        argv[1] = ACTIONS[i].title;
        return command_end(ACTIONS[i].run(argc - 1, argv + 1));
    }
    if (argc < 2) return command_end(status_error(STATUS_USAGE, "data: synth, import, info or verify?"));
    return command_end(status_error(STATUS_USAGE, "data: unknown action '%s': synth, import, info or verify", argv[1]));
}
