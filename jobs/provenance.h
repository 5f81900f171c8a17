/* What a result depends on besides config, code and inputs: how the program was
 * built, the libraries it has loaded, and the machine. Every attempt records
 * it in its start event, the ledger keeps it, `zeroth doctor` prints it. */
#ifndef JOBS_PROVENANCE_H
#define JOBS_PROVENANCE_H

#include "framework/json.h"

/* fact, name in events, label for people */
#define PROVENANCE_FACTS(X)                              \
    X(FACT_COMPILER, "compiler", "compiler")             \
    X(FACT_FLAGS, "flags", "compiler flags")             \
    X(FACT_HDF5, "hdf5", "HDF5")                         \
    X(FACT_ONEDNN, "onednn", "oneDNN")                   \
    X(FACT_MPI, "mpi", "MPI")                            \
    X(FACT_SQLITE, "sqlite", "SQLite")                   \
    X(FACT_LIBJPEG, "libjpeg", "libjpeg")                \
    X(FACT_LIBPNG, "libpng", "libpng")                   \
    X(FACT_LIBC, "libc", "C library")                    \
    X(FACT_KERNEL, "kernel", "kernel")                   \
    X(FACT_CPU, "cpu", "processor")                      \
    X(FACT_INSTRUCTIONS, "instructions", "instructions") \
    X(FACT_CORES, "cores", "cores")                      \
    X(FACT_MEMORY, "memory", "memory")                   \
    X(FACT_GPUS, "gpus", "GPUs")

typedef enum ProvenanceFact {
#define X(fact, name, label) fact,
    PROVENANCE_FACTS(X)
#undef X
    FACT_COUNT
} ProvenanceFact;

/* "" where the machine or the library does not tell; "none" for no GPU. */
typedef struct Provenance {
    char facts[FACT_COUNT][160];
} Provenance;

void provenance_gather(Provenance *provenance);
const char *provenance_label(ProvenanceFact fact);
/* The facts that are known, as members of the object that `writer` is in. */
void provenance_write(const Provenance *provenance, JsonWriter *writer);

/* How one execution ran. `code` is the program's version, "+dirty" at its end where files differed from the commit. */
typedef struct ProvenanceOfRun {
    const char *code;
    int threads, ranks;
    int64_t seed;
} ProvenanceOfRun;
/* Host, process, code and the facts: the members of a start event. */
void provenance_write_run(const ProvenanceOfRun *run, JsonWriter *writer);

#endif
