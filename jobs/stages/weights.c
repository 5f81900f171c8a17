#include "jobs/stages/weights.h"

#include <string.h>

#include "framework/memory.h"

Status weights_list(ArrayList *list, const char *prefix, Parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        Parameter *p = parameters->items[i];
        TRY(array_list_add(list, prefix, p->name, ARRAY_F32, p->rank, p->shape, p->value));
    }
    return OK;
}

Status weights_load(const Checkpoint *checkpoint, const char *prefix, Parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        Parameter *p = parameters->items[i];
        char *name = memory_format("%s%s", prefix, p->name);
        if (name == NULL) return status_no_memory(strlen(p->name), "a parameter's name");
        Status status = checkpoint_get(checkpoint, name, ARRAY_F32, p->rank, p->shape, p->value);
        memory_free(name);
        TRY(status);
    }
    size_t length = strlen(prefix);
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        const char *name = checkpoint_array(checkpoint, i)->name;
        if (strncmp(name, prefix, length) == 0 && parameters_find(parameters, name + length) == NULL)
            return status_error(STATUS_INVALID, "array '%s' belongs to no parameter of this network: the file was "
                                "written with another configuration", name);
    }
    return OK;
}

Status optimizer_list(ArrayList *list, const char *prefix, Optimizer *optimizer, const Parameters *parameters)
{
    void *first, *second;
    int64_t *steps, total = parameters->total, one = 1;
    optimizer_state(optimizer, &first, &second, &steps);
    if (first != NULL) TRY(array_list_add(list, prefix, "first", ARRAY_F32, 1, &total, first));
    if (second != NULL) TRY(array_list_add(list, prefix, "second", ARRAY_F32, 1, &total, second));
    return array_list_add(list, prefix, "steps", ARRAY_I64, 1, &one, steps);
}

static Status load_one(const Checkpoint *checkpoint, const char *prefix, const char *name, ArrayType type,
                       int64_t count, void *data)
{
    if (data == NULL) return OK;
    char *full = memory_format("%s%s", prefix, name);
    if (full == NULL) return status_no_memory(strlen(name), "an array's name");
    Status status = checkpoint_get(checkpoint, full, type, 1, &count, data);
    memory_free(full);
    return status;
}

Status optimizer_load(const Checkpoint *checkpoint, const char *prefix, Optimizer *optimizer,
                      const Parameters *parameters)
{
    void *first, *second;
    int64_t *steps;
    optimizer_state(optimizer, &first, &second, &steps);
    TRY(load_one(checkpoint, prefix, "first", ARRAY_F32, parameters->total, first));
    TRY(load_one(checkpoint, prefix, "second", ARRAY_F32, parameters->total, second));
    return load_one(checkpoint, prefix, "steps", ARRAY_I64, 1, steps);
}
