#include "jobs/slurm_class.h"

#include <string.h>

#include "framework/memory.h"

/* What every job needs of the shell that submitted it. Named one by one: with all of them, queued jobs would
 * depend on what that shell happened to hold. */
#define EXPORTS "HOME,USER,LOGNAME,SHELL,LANG,PATH,LD_LIBRARY_PATH,MODULEPATH,MODULESHOME,TMPDIR,ZEROTH_LOCKS"

static void add_option(Text *out, const char *name, const char *value)
{
    if (value[0] == '\0') return;
    text_format(out, "--%s=", name);
    text_append_quoted(out, value);
    text_append(out, "\n");
}

static void add_list(Text *out, const Config *config, const char *key)
{
    for (int64_t i = 0; i < config_list_count(config, key); i++)
        text_format(out, "%s\n", config_list_string(config, key, i));
}

static void add_options(Text *out, const PlanJob *job)
{
    const Config *config = job->config;
    const JobResources *resources = &job->resources;
    static const char *const NAMES[] = {"partition", "account", "qos", "constraint"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "slurm.%s", NAMES[i]);
        add_option(out, NAMES[i], config_string(config, key));
    }
    text_format(out, "--ntasks=%d\n--cpus-per-task=%d\n", resources->ranks, resources->threads);
    const char *gres = config_string(config, "slurm.gres");
    if (resources->gpus > 0 && gres[0] != '\0') add_option(out, "gres", gres);
    else if (resources->gpus > 0) text_format(out, "--gres=gpu:%d\n", resources->gpus);
    add_list(out, config, "slurm.options");
    char own[48];
    snprintf(own, sizeof own, "slurm.%s.options", stage_name(job->stage));
    add_list(out, config, own);
}

static void add_modules(Text *out, const Config *config)
{
    if (config_list_count(config, "slurm.modules") == 0) return;
    /* A batch shell that is no login shell may lack the function. */
    text_append(out, "type module >/dev/null 2>&1 || for file in /etc/profile.d/modules.sh /etc/profile.d/lmod.sh "
                     "/etc/profile.d/z00_lmod.sh; do\n    [ -r \"$file\" ] && . \"$file\"\ndone\n");
    for (int64_t i = 0; i < config_list_count(config, "slurm.modules"); i++) {
        text_append(out, "module load ");
        text_append_quoted(out, config_list_string(config, "slurm.modules", i));
        text_append(out, " || exit 1\n");
    }
}

/* Moves a text into a string of its own. */
static Status take(Text *text, char **out)
{
    *out = text->failed ? NULL : memory_copy_string(text_string(text));
    text_free(text);
    return *out != NULL ? OK : status_no_memory(0, "options of a batch job");
}

Status slurm_class_of_job(const PlanJob *job, SlurmClass *class)
{
    const Config *config = job->config;
    const JobResources *resources = &job->resources;
    *class = (SlurmClass){.ranks = resources->ranks, .threads = resources->threads,
                          .memory = resources->memory > 0 ? resources->memory : config_real(config, "slurm.mem"),
                          .time = resources->time > 0 ? resources->time : config_real(config, "slurm.time"),
                          .signal_before = config_real(config, "slurm.signal_before"),
                          .requeue = config_bool(config, "slurm.requeue")};
    Text options = {0}, modules = {0}, lines = {0}, exports = {0};
    add_options(&options, job);
    add_modules(&modules, config);
    add_list(&lines, config, "slurm.lines");
    text_append(&exports, EXPORTS);
    for (int64_t i = 0; i < config_list_count(config, "slurm.export"); i++)
        text_format(&exports, ",%s", config_list_string(config, "slurm.export", i));
    Status status = take(&options, &class->options);
    status = status_first(status, take(&modules, &class->modules));
    status = status_first(status, take(&lines, &class->lines));
    status = status_first(status, take(&exports, &class->exports));
    class->mpi = memory_copy_string(config_string(config, "slurm.mpi"));
    class->template = memory_copy_string(config_string(config, "slurm.template"));
    if (class->mpi == NULL || class->template == NULL) status = status_first(status, status_no_memory(0, "a batch job"));
    return status;
}

bool slurm_class_equal(const SlurmClass *a, const SlurmClass *b)
{
    return a->ranks == b->ranks && a->threads == b->threads && a->memory == b->memory && a->time == b->time &&
           a->signal_before == b->signal_before && a->requeue == b->requeue && strcmp(a->options, b->options) == 0 &&
           strcmp(a->modules, b->modules) == 0 && strcmp(a->lines, b->lines) == 0 &&
           strcmp(a->exports, b->exports) == 0 && strcmp(a->mpi, b->mpi) == 0 && strcmp(a->template, b->template) == 0;
}

void slurm_class_free(SlurmClass *class)
{
    memory_free(class->options);
    memory_free(class->modules);
    memory_free(class->lines);
    memory_free(class->exports);
    memory_free(class->mpi);
    memory_free(class->template);
    *class = (SlurmClass){0};
}

static void write_string(JsonWriter *writer, const char *key, const char *value)
{
    json_key(writer, key);
    json_string(writer, value);
}

static void write_real(JsonWriter *writer, const char *key, double value)
{
    json_key(writer, key);
    json_real(writer, value);
}

void slurm_class_write(const SlurmClass *class, JsonWriter *writer)
{
    json_begin_object(writer);
    write_string(writer, "options", class->options);
    write_string(writer, "modules", class->modules);
    write_string(writer, "lines", class->lines);
    write_string(writer, "exports", class->exports);
    write_string(writer, "mpi", class->mpi);
    write_string(writer, "template", class->template);
    write_real(writer, "ranks", class->ranks);
    write_real(writer, "threads", class->threads);
    write_real(writer, "memory", class->memory);
    write_real(writer, "time", class->time);
    write_real(writer, "signal_before", class->signal_before);
    json_key(writer, "requeue");
    json_bool(writer, class->requeue);
    json_end_object(writer);
}

Status slurm_class_read(const Json *json, const char *path, SlurmClass *class)
{
    *class = (SlurmClass){0};
    const struct { const char *key; char **out; } texts[] = {
        {"options", &class->options}, {"modules", &class->modules}, {"lines", &class->lines},
        {"exports", &class->exports}, {"mpi", &class->mpi},         {"template", &class->template}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *value;
        TRY(json_get_string(json, texts[i].key, path, &value));
        *texts[i].out = memory_copy_string(value);
        if (*texts[i].out == NULL) return status_no_memory(strlen(value), path);
    }
    double ranks, threads;
    TRY(json_get_real(json, "ranks", path, &ranks));
    TRY(json_get_real(json, "threads", path, &threads));
    TRY(json_get_real(json, "memory", path, &class->memory));
    TRY(json_get_real(json, "time", path, &class->time));
    TRY(json_get_real(json, "signal_before", path, &class->signal_before));
    class->ranks = (int)ranks;
    class->threads = (int)threads;
    const Json *requeue = json_member(json, "requeue");
    class->requeue = requeue != NULL && requeue->boolean;
    return OK;
}
