/* Studies, trials and jobs of a plan. */
#include <string.h>

#include "jobs/artifact.h"
#include "jobs/halving.h"
#include "jobs/hash_map.h"
#include "jobs/ledger_private.h"
#include "jobs/study_record.h"

static Status put_trial(Ledger *ledger, const Plan *plan, size_t number)
{
    const Trial *trial = &plan->study->trials[number];
    JsonWriter axes = {0}, jobs = {0};
    study_write_axes(trial, &axes);
    study_write_jobs(plan, plan->trial_jobs + number * STAGE_COUNT, &jobs);
    Status status = axes.text.failed || jobs.text.failed ? status_no_memory(axes.text.length, "a trial") : OK;
    if (status == OK)
        status = ledger_put(ledger, PUT_TRIAL, "sississ", plan->study->name, (int64_t)number, trial->variant,
                            trial->group, trial->seed, text_string(&axes.text), text_string(&jobs.text));
    text_free(&axes.text);
    text_free(&jobs.text);
    return status;
}

static Status add_job(Ledger *ledger, const Plan *plan, const PlanJob *job)
{
    JsonWriter inputs = {0};
    study_write_jobs(plan, job->inputs, &inputs);
    Status status = inputs.text.failed ? status_no_memory(inputs.text.length, "a job") : OK;
    if (status == OK)
        status = ledger_put(ledger, PUT_JOB, "siis", job->key, (int64_t)job->stage, (int64_t)job->definition->version,
                            text_string(&inputs.text));
    text_free(&inputs.text);
    return status;
}

typedef struct KnownJob {
    bool known;
    JobState state;
} KnownJob;

static Status find_job(Ledger *ledger, const char *key, KnownJob *job)
{
    *job = (KnownJob){0};
    Status status = ledger_ask(ledger, FIND_JOB, "s", key);
    while (ledger_next_row(ledger, FIND_JOB, &status))
        *job = (KnownJob){.known = true, .state = (JobState)sqlite3_column_int(ledger_row(ledger, FIND_JOB), 0)};
    return status;
}

/* A job of trials that halving stopped early, with the verdict. */
static Status record_skipped(Ledger *ledger, const Plan *plan, const PlanJob *job)
{
    Text verdict = {0};
    halving_describe(plan->halving, plan->study->trials[job->first_trial].group_index, &verdict);
    Status status = verdict.failed ? status_no_memory(verdict.length, "a verdict")
                                   : ledger_set_state(ledger, job->key, STATE_SKIPPED, "halving", text_string(&verdict));
    text_free(&verdict);
    return status;
}

/* `traces`: the job has a directory of attempts. What happened there while nobody wrote the ledger (the last runner was
 * killed, or the ledger lost) is taken over; of a job that was seen to finish all is known. */
static Status record_job(Ledger *ledger, const Plan *plan, const PlanJob *job, bool traces)
{
    KnownJob known;
    bool finished = job->need == JOB_FINISHED;
    TRY(find_job(ledger, job->key, &known));
    if (!known.known) TRY(add_job(ledger, plan, job));
    if (!known.known && (traces || finished)) {
        TRY(ledger_import_job(ledger, job->key, true));
        TRY(find_job(ledger, job->key, &known));
    } else if (traces && known.state != STATE_FINISHED) {
        TRY(ledger_import_job(ledger, job->key, false));
    }
    JobState state = finished ? STATE_FINISHED : job->need == JOB_SKIPPED ? STATE_SKIPPED : STATE_WAITING;
    if (known.state == state) return OK;
    if (finished) TRY(ledger_record_results(ledger, job->key));
    if (state == STATE_SKIPPED) return record_skipped(ledger, plan, job);
    return ledger_set_state(ledger, job->key, state, NULL, NULL);
}

static Status record_jobs(Ledger *ledger, const Plan *plan, const char *id)
{
    HashMap traces = {0};
    Status status = work_list_keys(ledger->work, "runs", &traces);
    for (size_t i = 0; i < plan->count && status == OK; i++) {
        Hash128 key;
        uint32_t found;
        bool traced = hash_from_hex(plan->jobs[i].key, &key) && hash_map_find(&traces, key, &found);
        status = record_job(ledger, plan, &plan->jobs[i], traced);
        if (status == OK)
            status = ledger_put(ledger, PUT_PLAN_JOB, "sssi", plan->study->name, id, plan->jobs[i].key,
                                (int64_t)plan->jobs[i].trials);
    }
    hash_map_free(&traces);
    return status;
}

Status ledger_record_plan(Ledger *ledger, const Plan *plan)
{
    const Study *study = plan->study;
    double now = ledger_clock();
    char id[PLAN_ID_SIZE];
    Text overrides;
    TRY(study_plan_id(plan, id));
    TRY(study_record_write(ledger->work, plan, id, now));
    TRY(study_plan_overrides(plan, &overrides));
    Status status = ledger_put(ledger, PUT_STUDY, "ssirss", study->name, study->path, (int64_t)study->trial_count, now,
                               id, text_string(&overrides));
    text_free(&overrides);
    TRY(status);
    TRY(ledger_put(ledger, DROP_TRIALS, "s", study->name));
    TRY(ledger_put(ledger, DROP_PLAN_JOBS, "ss", study->name, id));
    for (size_t i = 0; i < study->trial_count; i++) TRY(put_trial(ledger, plan, i));
    TRY(record_jobs(ledger, plan, id));
    /* Jobs of the plan that this one replaces, which nobody wants and which never ran. */
    TRY(ledger_put(ledger, DROP_UNKNOWN_JOBS, ""));
    return ledger_flush(ledger);
}

/* Forgetting ---------------------------------------------------------------------- */

Status ledger_forget_study(Ledger *ledger, const char *study)
{
    TRY(ledger_put(ledger, DROP_STUDY, "s", study));
    TRY(ledger_put(ledger, DROP_TRIALS, "s", study));
    TRY(ledger_put(ledger, DROP_ALL_PLAN_JOBS, "s", study));
    return ledger_put(ledger, DROP_UNKNOWN_JOBS, "");
}

Status ledger_forget_job(Ledger *ledger, const char *key)
{
    TRY(ledger_put(ledger, DROP_JOB, "s", key));
    TRY(ledger_put(ledger, DROP_ATTEMPTS, "s", key));
    TRY(ledger_put(ledger, DROP_METRICS, "s", key));
    return ledger_put(ledger, DROP_RESULTS, "s", key);
}
