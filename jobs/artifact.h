/* What a finished job leaves: WORK/artifacts/KEY/ with its files and
 * artifact.json, its manifest, which lists every file's size and XXH3-128 checksum and says
 * what made it. The directory appears whole by one rename, the manifest in it,
 * so that an artifact without a manifest, or with a file of another size, is
 * damaged. Also the layout of the work directory. */
#ifndef JOBS_ARTIFACT_H
#define JOBS_ARTIFACT_H

#include "framework/config.h"
#include "framework/json.h"
#include "jobs/hash_map.h"

#define MANIFEST_NAME "artifact.json" /* a sharded data set has a manifest.json of its own */
#define METRICS_NAME "metrics.json" /* final metrics of a trial: an object of name → number */

/* Paths below a work directory; freed by memory_free; NULL without memory. */
char *artifact_directory(const char *work, const char *key);               /* WORK/artifacts/KEY */
char *run_directory(const char *work, const char *key);                    /* WORK/runs/KEY */
char *attempt_directory(const char *work, const char *key, int number);    /* WORK/runs/KEY/0001 */
char *study_directory(const char *work, const char *name);                 /* WORK/studies/NAME */

/* Adds the keys that are names in WORK/`below` ("artifacts", "runs"), each with 0: one listing instead of a look for
 * each of many jobs. An absent directory has none; other names are passed over. */
Status work_list_keys(const char *work, const char *below, HashMap *keys);

/* OK where the artifact is there and every file has its size; with `full`, its
 * checksum too. STATUS_NOT_FOUND where there is no such directory,
 * STATUS_CORRUPT (naming the file) where it is damaged. */
Status artifact_check(const char *work, const char *key, bool full);

/* What the manifest says besides the files. */
typedef struct ArtifactInfo {
    const char *key;
    StageId stage;
    int version;                     /* of the stage */
    const Config *config;            /* the keys that the stage reads are recorded */
    const char *inputs[STAGE_COUNT]; /* keys, or NULL */
    const char *attempt;             /* directory name below runs/KEY */
    const char *code;                /* version of the program */
    const char *fingerprint;         /* of what the stage read from outside; NULL or "": nothing */
} ArtifactInfo;

/* Writes the manifest into `output` and moves the directory to its place.
 * Hidden left-overs of interrupted writes are removed first. Where a sound
 * artifact is there already, `output` is dropped instead; a damaged one is
 * replaced. */
Status artifact_commit(const char *output, const char *work, const ArtifactInfo *info);

/* The metrics.json of an artifact: STATUS_NOT_FOUND where it has none. */
Status artifact_read_metrics(const char *work, const char *key, Json **metrics);
/* The number (or null) that `name` means: a key of metrics.json or the end of one, with '.' or '_' ("pq_unseen"). The
 * first wins, and panoptic comes first there. `*key` (may be NULL) is the whole key. NULL where there is none. */
const Json *artifact_find_metric(const Json *metrics, const char *name, const char **key);

#endif
