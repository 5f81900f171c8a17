#include "jobs/provenance.h"

#include <assert.h>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jpeglib.h> /* after stdio.h, which it needs */

#include "framework/files.h"
#include "framework/memory.h"

/* The Makefile says what it compiles with. */
#ifndef ZEROTH_FLAGS
#define ZEROTH_FLAGS ""
#endif

#define FACT_SIZE sizeof((Provenance *)0)->facts[0]

static const char *const NAMES[] = {
#define X(fact, name, label) [fact] = name,
    PROVENANCE_FACTS(X)
#undef X
};
static_assert(sizeof NAMES / sizeof NAMES[0] == FACT_COUNT, "every fact has a name");

static const char *const LABELS[] = {
#define X(fact, name, label) [fact] = label,
    PROVENANCE_FACTS(X)
#undef X
};

const char *provenance_label(ProvenanceFact fact)
{
    return LABELS[fact];
}

static void set(Provenance *provenance, ProvenanceFact fact, const char *text)
{
    snprintf(provenance->facts[fact], FACT_SIZE, "%s", text);
}

/* Libraries ------------------------------------------------------------------------ */

/* As the loaded libraries tell them; most headers of theirs belong to other folders. */
static void gather_libraries(Provenance *p)
{
    char text[FACT_SIZE];
    unsigned major = 0, minor = 0, patch = 0;
    int (*hdf5)(unsigned *, unsigned *, unsigned *) = NULL;
    *(void **)&hdf5 = dlsym(RTLD_DEFAULT, "H5get_libversion");
    if (hdf5 != NULL && hdf5(&major, &minor, &patch) >= 0) {
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
        set(p, FACT_HDF5, text);
    }
    const struct { int major, minor, patch; const char *hash; unsigned cpu, gpu; } *(*dnnl)(void) = NULL;
    *(void **)&dnnl = dlsym(RTLD_DEFAULT, "dnnl_version");
    if (dnnl != NULL) {
        snprintf(text, sizeof text, "%d.%d.%d", dnnl()->major, dnnl()->minor, dnnl()->patch);
        set(p, FACT_ONEDNN, text);
    }
    int (*mpi)(char *, int *) = NULL;
    *(void **)&mpi = dlsym(RTLD_DEFAULT, "MPI_Get_library_version");
    char version[8192] = "";
    int length = 0;
    if (mpi != NULL && mpi(version, &length) == 0) {
        version[strcspn(version, ",\n")] = '\0';
        set(p, FACT_MPI, version);
    }
    const char *(*sqlite)(void) = NULL;
    *(void **)&sqlite = dlsym(RTLD_DEFAULT, "sqlite3_libversion");
    if (sqlite != NULL) set(p, FACT_SQLITE, sqlite());
    const char *(*png)(const void *) = NULL;
    *(void **)&png = dlsym(RTLD_DEFAULT, "png_get_libpng_ver");
    if (png != NULL) set(p, FACT_LIBPNG, png(NULL));
    /* It tells no version when it runs: what it was compiled against. */
#ifdef LIBJPEG_TURBO_VERSION
#define QUOTE_INNER(x) #x
#define QUOTE(x) QUOTE_INNER(x)
    set(p, FACT_LIBJPEG, "turbo " QUOTE(LIBJPEG_TURBO_VERSION));
#endif
    set(p, FACT_LIBC, gnu_get_libc_version());
}

/* Machine --------------------------------------------------------------------------- */

/* The text after the first "NAME ... :" of a file of /proc; `out` is left where there is none. */
static void find_line(const char *path, const char *name, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (colon == NULL || strncmp(line, name, strlen(name)) != 0) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    if (file != NULL) fclose(file);
}

static void gather_gpus(Provenance *p)
{
    static const char PLACE[] = "/proc/driver/nvidia/gpus";
    char **names = NULL, model[100], *out = p->facts[FACT_GPUS];
    size_t count = 0;
    Status status = directory_list(PLACE, &names, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = memory_format("%s/%s/information", PLACE, names[i]);
        size_t used = strlen(out);
        strcpy(model, "GPU");
        if (path != NULL) find_line(path, "Model", model, sizeof model);
        memory_free(path);
        snprintf(out + used, FACT_SIZE - used, "%s%s", used > 0 ? ", " : "", model);
    }
    if (out[0] == '\0') set(p, FACT_GPUS, "none");
    names_free(names, count);
    status_free(status);
}

static void gather_machine(Provenance *p)
{
    struct utsname kernel;
    char text[FACT_SIZE];
    cpu_set_t usable;
    if (uname(&kernel) == 0) {
        snprintf(text, sizeof text, "%.30s %.80s %.30s", kernel.sysname, kernel.release, kernel.machine);
        set(p, FACT_KERNEL, text);
    }
    find_line("/proc/cpuinfo", "model name", p->facts[FACT_CPU], FACT_SIZE);
    snprintf(text, sizeof text, "%s%s%s%s%s", __builtin_cpu_supports("avx2") ? " AVX2" : "",
             __builtin_cpu_supports("fma") ? " FMA" : "", __builtin_cpu_supports("avx512f") ? " AVX-512" : "",
             __builtin_cpu_supports("avx512vnni") ? " VNNI" : "", __builtin_cpu_supports("avx512bf16") ? " BF16" : "");
    set(p, FACT_INSTRUCTIONS, text[0] != '\0' ? text + 1 : "");
    int cores = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 0;
    snprintf(text, sizeof text, "%d usable of %ld", cores, sysconf(_SC_NPROCESSORS_ONLN));
    set(p, FACT_CORES, text);
    text_bytes((double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), text, sizeof text);
    set(p, FACT_MEMORY, text);
    gather_gpus(p);
}

/* Whole ------------------------------------------------------------------------------- */

void provenance_gather(Provenance *provenance)
{
    *provenance = (Provenance){0};
    set(provenance, FACT_COMPILER, "gcc " __VERSION__);
    set(provenance, FACT_FLAGS, ZEROTH_FLAGS);
    gather_libraries(provenance);
    gather_machine(provenance);
}

void provenance_write(const Provenance *provenance, JsonWriter *writer)
{
    for (int fact = 0; fact < FACT_COUNT; fact++)
        if (provenance->facts[fact][0] != '\0') json_add_string(writer, NAMES[fact], provenance->facts[fact]);
}

/* Where a cluster ran it: what its administrators ask for. */
static void write_slurm(JsonWriter *writer)
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID"), *job = getenv("SLURM_JOB_ID");
    const char *nodes = getenv("SLURM_JOB_NODELIST");
    char id[64];
    if (job == NULL) return;
    if (array != NULL && task != NULL) snprintf(id, sizeof id, "%.30s_%.30s", array, task);
    else snprintf(id, sizeof id, "%.60s", job);
    json_add_string(writer, "slurm_job", id);
    if (nodes != NULL) json_add_string(writer, "slurm_nodes", nodes);
}

void provenance_write_run(const ProvenanceOfRun *run, JsonWriter *writer)
{
    static const char DIRTY[] = "+dirty";
    char host[HOST_NAME_MAX + 1] = "";
    size_t length = strlen(run->code), ending = strlen(DIRTY);
    gethostname(host, sizeof host - 1);
    json_add_string(writer, "host", host);
    json_add_integer(writer, "pid", (int64_t)getpid());
    json_add_string(writer, "code", run->code);
    json_key(writer, "dirty");
    json_bool(writer, length >= ending && strcmp(run->code + length - ending, DIRTY) == 0);
    json_add_integer(writer, "threads", run->threads);
    json_add_integer(writer, "ranks", run->ranks);
    json_add_integer(writer, "seed", run->seed);
    write_slurm(writer);
    Provenance provenance;
    provenance_gather(&provenance);
    provenance_write(&provenance, writer);
}
