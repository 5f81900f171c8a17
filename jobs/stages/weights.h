/* Parameters and optimiser state as the named arrays of a checkpoint. */
#ifndef STAGES_WEIGHTS_H
#define STAGES_WEIGHTS_H

#include "models/engine/optimizer.h"
#include "storage/checkpoint.h"

/* Every parameter as PREFIX + its name. F32 parameters only. */
Status weights_list(ArrayList *list, const char *prefix, Parameters *parameters);
/* Strict: a missing, extra (under the prefix) or misshapen array is an error by name. */
Status weights_load(const Checkpoint *checkpoint, const char *prefix, Parameters *parameters);

/* The optimiser's moments and step count as PREFIX + "first", "second", "steps". */
Status optimizer_list(ArrayList *list, const char *prefix, Optimizer *optimizer, const Parameters *parameters);
Status optimizer_load(const Checkpoint *checkpoint, const char *prefix, Optimizer *optimizer,
                      const Parameters *parameters);

#endif
