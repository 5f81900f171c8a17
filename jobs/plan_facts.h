/* What a job is made from, as numbers that compare fast: for plan_why.c. */
#ifndef JOBS_PLAN_FACTS_H
#define JOBS_PLAN_FACTS_H

#include "framework/memory.h"
#include "jobs/hash_map.h"
#include "jobs/plan.h"

/* Texts by number: equal texts have equal numbers. */
enum { FACT_ABSENT = 0, FACT_UNKNOWN = 1 };

typedef struct Facts {
    uint32_t *values;              /* [CONFIG_SCHEMA_COUNT]: of keys that the job or one before it reads; no paths */
    uint32_t *paths;               /* [CONFIG_SCHEMA_COUNT]: of paths; they say where, not what, and don't count */
    uint32_t versions[STAGE_COUNT], fingerprints[STAGE_COUNT], keys[STAGE_COUNT]; /* of the job and those before it */
    const char *stray;             /* a key of the manifest that is none any more, or NULL */
    uint32_t strays;
} Facts;

typedef struct FinishedJob {
    char key[HASH_HEX_SIZE];
    StageId stage;
    int64_t made;                  /* nanoseconds since 1970 */
    Facts facts;
} FinishedJob;

/* The finished jobs of one stage, by the facts in which they differ from each other: where they are alike, none of
 * them is nearer than another. */
typedef struct FactTable {
    size_t begin, count;           /* in `finished` */
    uint32_t *columns;             /* [width]: places in a row of all facts */
    size_t width;
    uint32_t *rows;                /* [count, width] */
} FactTable;

typedef struct FactBook {
    Arena *arena;
    HashMap numbers, by_key;       /* of texts; of finished jobs */
    const char **texts;
    size_t text_count, text_capacity;
    FinishedJob *finished;         /* by stage */
    size_t finished_count, finished_capacity;
    FactTable tables[STAGE_COUNT];
} FactBook;

/* Zero-initialise `book`; cleared after a failure too. Reads every manifest below WORK/artifacts that can be read. */
Status facts_read(FactBook *book, const char *work);
void facts_clear(FactBook *book);
Status facts_allocate(FactBook *book, Facts *facts);
/* Of a planned job; `facts` is allocated. */
Status facts_of_job(FactBook *book, const Plan *plan, uint32_t job, Facts *facts);
/* The finished job of this stage, but for `key` itself, that differs in the fewest facts, and of such the newest; NULL
 * where there is none. What is unknown of it differs where the keys of its jobs do. */
Status facts_find_nearest(FactBook *book, const Facts *facts, StageId stage, const char *key,
                          const FinishedJob **nearest, uint32_t *distance);
/* Whether a stage's artifact is gone, so that at most its key is known. */
bool facts_is_unknown(const Facts *facts, int stage);
bool facts_key_differs(const Facts *a, const Facts *b, int stage);
bool facts_files_differ(const Facts *a, const Facts *b, int stage);
const char *facts_text(const FactBook *book, uint32_t number);

#endif
