#include "jobs/slurm_script.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"

/* slurm/job.sbatch.in, as it was when this was compiled. */
__asm__(".section .rodata\n"
        ".global slurm_template_begin\n"
        "slurm_template_begin:\n"
        ".incbin \"slurm/job.sbatch.in\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char slurm_template_begin[];

static Status no_memory(void)
{
    return status_no_memory(0, "a batch script");
}

/* Options -------------------------------------------------------------------------- */

/* A file name pattern of sbatch's, in which % is no letter of its own. */
static void add_output(Text *out, const SlurmWave *wave)
{
    Text path = {0};
    for (const char *c = wave->directory; *c != '\0'; c++) text_append_bytes(&path, *c == '%' ? "%%" : c, *c == '%' ? 2 : 1);
    text_append(&path, "/log/%A_%a");
    out->failed |= path.failed;
    text_append(out, "#SBATCH --open-mode=append --output=");
    text_append_quoted(out, text_string(&path));
    text_append(out, "\n");
    text_free(&path);
}

static double whole_minutes(double seconds)
{
    double minutes = ceil(seconds / 60);
    return minutes < 1 ? 1 : minutes;
}

static void add_time(Text *out, const SlurmRequest *request)
{
    const SlurmClass *class = request->class;
    if (class->time > 0) text_format(out, "#SBATCH --time=%.0f\n", whole_minutes(class->time * request->pack));
    /* B: to the batch process alone, which passes it on to the attempt. Slurm takes at most 65535 seconds. */
    double before = class->signal_before;
    if (class->time > 0 && before > class->time * request->pack) before = class->time * request->pack - 1;
    if (before > 65535) before = 65535;
    if (before >= 1) text_format(out, "#SBATCH --signal=B:USR1@%.0f\n", before);
}

static void add_options(Text *out, const SlurmRequest *request, const SlurmWave *wave)
{
    for (const char *line = request->class->options; *line != '\0';) {
        int length = (int)strcspn(line, "\n");
        text_format(out, "#SBATCH %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    if (request->memory > 0) text_format(out, "#SBATCH --mem=%.0fM\n", ceil(request->memory / (1 << 20)));
    add_time(out, request);
    text_format(out, "#SBATCH %s\n", request->class->requeue ? "--requeue" : "--no-requeue");
    text_format(out, "#SBATCH --export=%s\n", request->class->exports);
    add_output(out, wave);
    text_append(out, "#SBATCH --chdir=");
    text_append_quoted(out, request->directory);
}

/* The script ------------------------------------------------------------------------- */

static void without_last_break(Text *text)
{
    if (text->length > 0 && text->data[text->length - 1] == '\n') text->data[--text->length] = '\0';
}

typedef struct Placeholder {
    const char *name;
    const Text *value;
} Placeholder;

/* Replaces @NAME@; lines that are only an empty value, or a remark (#@), go whole. */
static void fill_template(const char *template, const Placeholder *places, size_t count, Text *out)
{
    for (const char *at = template; *at != '\0';) {
        bool begins = at == template || at[-1] == '\n';
        if (begins && strncmp(at, "#@", 2) == 0) {
            at += strcspn(at, "\n");
            at += *at == '\n';
            continue;
        }
        const Placeholder *found = NULL;
        size_t length = 0;
        for (size_t i = 0; i < count && found == NULL && *at == '@'; i++) {
            length = strlen(places[i].name);
            if (strncmp(at + 1, places[i].name, length) == 0 && at[1 + length] == '@') found = &places[i];
        }
        if (found == NULL) {
            text_append_bytes(out, at++, 1);
            continue;
        }
        bool alone = begins && at[length + 2] == '\n';
        text_append(out, text_string(found->value));
        at += length + 2 + (alone && found->value->length == 0);
    }
}

static Status read_template(const char *path, char **text)
{
    size_t bytes;
    if (path[0] != '\0') return file_read(path, 1 << 20, text, &bytes);
    *text = memory_copy_string(slurm_template_begin);
    return *text != NULL ? OK : no_memory();
}

Status slurm_script_render(const SlurmRequest *request, const SlurmWave *wave, char **script)
{
    Text options = {0}, modules = {0}, lines = {0}, task = {0}, out = {0};
    char *template = NULL;
    *script = NULL;
    add_options(&options, request, wave);
    text_append(&modules, request->class->modules);
    text_append(&lines, request->class->lines);
    without_last_break(&modules);
    without_last_break(&lines);
    text_append_quoted(&task, wave->program);
    text_append(&task, " task ");
    text_append_quoted(&task, wave->directory);
    Status status = read_template(request->class->template, &template);
    const Placeholder places[] = {{"OPTIONS", &options}, {"MODULES", &modules}, {"LINES", &lines}, {"TASK", &task}};
    if (status == OK && strstr(template, "@TASK@") == NULL)
        status = status_error(STATUS_INVALID, "%s: has no @TASK@, so that it would start nothing",
                              request->class->template);
    if (status == OK) fill_template(template, places, sizeof places / sizeof places[0], &out);
    if (status == OK && (options.failed || modules.failed || lines.failed || task.failed || out.failed)) status = no_memory();
    if (status == OK && (*script = memory_copy_string(text_string(&out))) == NULL) status = no_memory();
    memory_free(template);
    text_free(&options);
    text_free(&modules);
    text_free(&lines);
    text_free(&task);
    text_free(&out);
    return status;
}

/* sbatch -------------------------------------------------------------------------------- */

static void add_argument(SbatchLine *line, char *text, bool *failed)
{
    if (text == NULL) *failed = true;
    else line->argv[line->count] = line->texts[line->count] = text, line->count++;
}

/* "0-4,7" of the wave's indices, which ascend, and the throttle. */
static void write_indices(const SlurmWave *wave, int64_t throttle, Text *out)
{
    for (size_t i = 0; i < wave->count;) {
        size_t last = i;
        while (last + 1 < wave->count && wave->tasks[last + 1].index == wave->tasks[last].index + 1) last++;
        text_format(out, "%s%lld", i > 0 ? "," : "", (long long)wave->tasks[i].index);
        if (last > i) text_format(out, "-%lld", (long long)wave->tasks[last].index);
        i = last + 1;
    }
    if (throttle > 0) text_format(out, "%%%lld", (long long)throttle);
}

Status sbatch_line_create(const SlurmRequest *request, const SlurmWave *wave, SbatchLine *line)
{
    bool failed = false;
    Text indices = {0};
    *line = (SbatchLine){0};
    write_indices(wave, request->settings->throttle, &indices);
    failed |= indices.failed;
    add_argument(line, memory_copy_string("sbatch"), &failed);
    add_argument(line, memory_copy_string("--parsable"), &failed);
    add_argument(line, memory_format("--job-name=%s", wave->name), &failed);
    add_argument(line, memory_format("--comment=zeroth %s", wave->study), &failed);
    add_argument(line, memory_format("--array=%s", text_string(&indices)), &failed);
    if (request->dependency[0] != '\0') add_argument(line, memory_format("--dependency=%s", request->dependency), &failed);
    if (request->exclude[0] != '\0') add_argument(line, memory_format("--exclude=%s", request->exclude), &failed);
    if (request->begin > 0) add_argument(line, memory_format("--begin=now+%.0f", ceil(request->begin)), &failed);
    add_argument(line, path_join(wave->directory, "script"), &failed);
    text_free(&indices);
    return failed ? no_memory() : OK;
}

void sbatch_line_free(SbatchLine *line)
{
    for (int i = 0; i < line->count; i++) memory_free(line->texts[i]);
    *line = (SbatchLine){0};
}
