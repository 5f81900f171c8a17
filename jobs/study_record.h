/* What is kept of a study beside the ledger, so that the ledger can be made
 * anew: WORK/studies/NAME/study.yaml, the file as read, and a record of each
 * plan that was run: trials.jsonl, or trials-PLAN.jsonl for one with overrides
 * or cut short by --only, where PLAN is the hash of these. A record is
 *
 *     {"record": 2, "study", "path", "recorded", "overrides": [...], "trials", "jobs"}
 *     {"key", "stage", "version", "inputs": {stage: key}, "trials"}           each job
 *     {"variant", "group", "seed", "axes": {key: text}, "jobs": {stage: key}} each trial
 *
 * and replaced whole by the next plan of the same overrides. Records of
 * earlier programs have lines of trials alone. */
#ifndef JOBS_STUDY_RECORD_H
#define JOBS_STUDY_RECORD_H

#include "framework/json.h"
#include "jobs/plan.h"

#define PLAN_ID_SIZE 17

/* "" for a whole plan without overrides. */
Status study_plan_id(const Plan *plan, char id[PLAN_ID_SIZE]);
/* The overrides as a JSON array of texts, freed by text_free. */
Status study_plan_overrides(const Plan *plan, Text *out);
/* The trial's values, and stage → key of jobs[STAGE_COUNT], as JSON objects. */
void study_write_axes(const Trial *trial, JsonWriter *writer);
void study_write_jobs(const Plan *plan, const uint32_t *jobs, JsonWriter *writer);

Status study_record_write(const char *work, const Plan *plan, const char *id, double recorded);

/* Ids of the records of a study, freed by names_free. */
Status study_records_list(const char *work, const char *study, char ***ids, size_t *count);

typedef struct StudyRecordTaker {
    Status (*head)(void *context, const Json *head);   /* any may be NULL */
    Status (*job)(void *context, const Json *job);
    Status (*trial)(void *context, int64_t number, const Json *trial);
} StudyRecordTaker;
/* Lines in order. A line that is none of these is STATUS_CORRUPT. */
Status study_record_read(const char *work, const char *study, const char *id, const StudyRecordTaker *taker,
                         void *context);

#endif
