#include <math.h>

#include "models/engine/optimizer.h"

double schedule_rate(const Schedule *schedule, int64_t step)
{
    const double pi = 3.14159265358979323846;
    double rate = schedule->rate, total = (double)schedule->total_steps;
    double done = schedule->total_steps > 0 ? fmin((double)step / total, 1) : 0;
    switch (schedule->kind) {
    case SCHEDULE_STEPS:
        for (int i = 0; i < 2; i++) {
            double milestone = schedule->milestones[i];
            if (milestone > 0 && (double)step >= milestone * total) rate *= 0.1;
        }
        break;
    case SCHEDULE_COSINE: rate *= 0.5 * (1 + cos(pi * done)); break;
    case SCHEDULE_POLY: rate *= pow(1 - done, 0.9); break;
    case SCHEDULE_CONSTANT:
    case SCHEDULE_KIND_COUNT: break;
    }
    if (step < schedule->warmup_steps) rate *= (double)step / (double)schedule->warmup_steps;
    return rate;
}
