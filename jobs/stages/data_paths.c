#include "jobs/stages/data_paths.h"

#include "framework/files.h"
#include "framework/memory.h"

Status data_path_of(const Config *config, const char *name, char **path)
{
    const char *root = config_string(config, "data.root");
    *path = NULL;
    if (root[0] == '\0')
        return status_error(STATUS_INVALID, "data.root is not set: name the directory of a data set in COCO panoptic "
                            "layout (zeroth data synth makes one)");
    if (!file_exists(root))
        return status_error(STATUS_NOT_FOUND, "data.root: no directory '%s': a data set in COCO panoptic layout belongs "
                            "there (zeroth data synth makes one)", root);
    *path = name[0] == '/' ? memory_copy_string(name) : path_join(root, name);
    return *path == NULL ? status_no_memory(256, "a path") : OK;
}

Status data_path(const Config *config, const char *key, char **path)
{
    const char *name = config_string(config, key);
    if (name[0] != '\0' || config_string(config, "data.root")[0] == '\0') return data_path_of(config, name, path);
    *path = NULL;
    return status_error(STATUS_INVALID, "%s is not set: name a path below data.root", key);
}
