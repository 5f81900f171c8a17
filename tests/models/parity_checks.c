#include <string.h>

#include "tests/models/parity_file.h"

Status (*parity_check_for(const char *file_name))(const char *, ParityResult *)
{
    static const struct { const char *prefix; Status (*check)(const char *, ParityResult *); } checks[] = {
        {"generator", parity_generator},
        {"gmmn", parity_gmmn},
        {"pixel_decoder", parity_pixel_decoder},
        {"mask_decoder", parity_mask_decoder},
        {"criterion", parity_criterion},
    };
    const char *slash = strrchr(file_name, '/');
    const char *name = slash == NULL ? file_name : slash + 1;
    const size_t length = strlen(name);
    if (length < 3 || strcmp(name + length - 3, ".h5") != 0) return NULL;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (strncmp(name, checks[i].prefix, strlen(checks[i].prefix)) == 0) return checks[i].check;
    return NULL;
}
