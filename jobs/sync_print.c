/* Slurm's part of a status: what it has of our jobs, and why it is not running. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/sync_private.h"

/* Open waves of the study that have a place in the queue. */
static bool is_wanted(const SlurmWave *wave, const char *study)
{
    return study == NULL || strcmp(wave->study, study) == 0;
}

static const char *start_of(const SlurmEntry *entry)
{
    bool known = entry->start[0] != '\0' && strcmp(entry->start, "N/A") != 0;
    return known ? entry->start : "";
}

static void print_task(const SlurmWave *wave, size_t task, const SlurmEntry *entry, FILE *out)
{
    char id[48];
    slurm_task_id(wave, task, id, sizeof id);
    const SlurmWaveTask *own = &wave->tasks[task];
    fprintf(out, "%-9s  %.*s", stage_name(wave->stage), KEY_SHOWN, wave->keys[own->first]);
    if (own->count > 1) fprintf(out, " and %u more", own->count - 1);
    fprintf(out, "  %-10s  %-11s", id, entry != NULL ? slurm_state_name(entry->state) : "not in squeue");
    if (entry != NULL && slurm_state_phase(entry->state) == SLURM_QUEUED) {
        fprintf(out, "  %s", entry->reason);
        if (start_of(entry)[0] != '\0') fprintf(out, ", expected to start %s", start_of(entry));
    } else if (entry != NULL) {
        fprintf(out, "  %s since %s", entry->nodes, start_of(entry));
    }
    if (entry != NULL && entry->restarts > 0) fprintf(out, "  requeued %d time%s", entry->restarts, entry->restarts == 1 ? "" : "s");
    fprintf(out, "\n");
}

static bool is_settled(const SlurmOutcomes *outcomes, const SlurmWave *wave, size_t task)
{
    const SlurmWaveTask *own = &wave->tasks[task];
    for (uint32_t i = 0; i < own->count; i++)
        if (!slurm_outcomes_settled(outcomes, wave->token, own->index, wave->keys[own->first + i])) return false;
    return true;
}

static void print_waves(const SlurmWave *waves, size_t count, const SlurmQueue *queue, const SlurmOutcomes *outcomes,
                        const char *study, size_t most, FILE *out)
{
    size_t shown = 0, more = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(&waves[i], study)) continue;
        if (waves[i].job == 0) {
            fprintf(out, "%-9s  %zu jobs as %s: sbatch gave no answer, and the queue is searched for that name\n",
                    stage_name(waves[i].stage), waves[i].key_count, waves[i].name);
            continue;
        }
        for (size_t task = 0; task < waves[i].count; task++) {
            if (is_settled(outcomes, &waves[i], task)) continue;
            if (shown++ >= most) more++;
            else print_task(&waves[i], task, slurm_queue_find(queue, waves[i].job, waves[i].tasks[task].index), out);
        }
    }
    if (more > 0) fprintf(out, "... and %zu more tasks in Slurm (--all)\n", more);
}

Status sync_print(const char *work, const char *study, size_t most, FILE *out)
{
    SlurmWave *waves = NULL;
    size_t count = 0;
    SlurmQueue queue = {0};
    SlurmOutcomes outcomes = {0};
    TRY(slurm_waves_read(work, &waves, &count));
    Status status = count > 0 ? slurm_outcomes_read(work, &outcomes) : OK;
    if (status == OK && count > 0) {
        status = slurm_queue_read(10, &queue);
        if (status_code(status) == STATUS_CHILD || status_code(status) == STATUS_NOT_FOUND) {
            fprintf(out, "\nin Slurm (which does not answer now: %s):\n", status_message(status));
            status_free(status);
            status = OK;
        } else if (status == OK) {
            fprintf(out, "\nin Slurm:\n");
        }
    }
    if (status == OK) print_waves(waves, count, &queue, &outcomes, study, most, out);
    slurm_outcomes_free(&outcomes);
    slurm_queue_free(&queue);
    slurm_waves_free(waves, count);
    return status;
}
