/* zeroth weights: weights from and for other programs. */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "jobs/stages/weight_exchange.h"

static Status find_part(const char *name, WeightPart *part)
{
    static const char *const names[] = {"backbone", "body", "all"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *part = (WeightPart)i;
        return OK;
    }
    return status_error(STATUS_USAGE, "weights: --part is backbone, body or all, not '%s'", name);
}

static Status import_weights(const Arguments *arguments, const char *part_name, const char *output)
{
    WeightPart part = WEIGHT_PART_ALL;
    TRY(arguments_expect(arguments, 3, 3, "import FILE.safetensors SEGMENTER.h5"));
    TRY(find_part(part_name, &part));
    if (output == NULL) return status_error(STATUS_USAGE, "weights import: --output says where the new segmenter goes");
    TRY(weights_replace(arguments->items[2], arguments->items[1], part, output));
    printf("%s\n", output);
    return OK;
}

static Status export_weights(const Arguments *arguments, const char *names, const char *output)
{
    WeightStyle style = WEIGHTS_ZEROTH;
    TRY(arguments_expect(arguments, 2, 2, "export MODEL.h5"));
    if (!weight_style_find(names, &style))
        return status_error(STATUS_USAGE, "weights: --names is zeroth, torchvision, detectron2, mask2former or pading, "
                            "not '%s'", names);
    if (output == NULL) return status_error(STATUS_USAGE, "weights export: --output says where the safetensors file goes");
    TRY(weights_export(arguments->items[1], style, output));
    printf("%s\n", output);
    return OK;
}

static Status run(const Arguments *arguments, const char *part, const char *names, const char *output)
{
    const char *verb = arguments->count > 0 ? arguments->items[0] : "";
    if (strcmp(verb, "import") == 0) return import_weights(arguments, part, output);
    if (strcmp(verb, "export") == 0) return export_weights(arguments, names, output);
    if (strcmp(verb, "list") != 0)
        return status_error(STATUS_USAGE, "weights: '%s' is none of import, export, list", verb);
    TRY(arguments_expect(arguments, 2, 2, "list FILE"));
    return weights_print(arguments->items[1], stdout);
}

int command_weights(int argc, char **argv)
{
    CommonFlags common = {0};
    const char *part = "all", *names = "mask2former", *output = NULL;
    const Flag flags[] = {{"--part", NULL, FLAG_STRING, &part},
                          {"--names", NULL, FLAG_STRING, &names},
                          {"--output", "-o", FLAG_STRING, &output}};
    Arguments arguments;
    Status status = flags_parse(flags, 3, &common, argc, argv, &arguments);
    if (status == OK) status = run(&arguments, part, names, output);
    arguments_free(&arguments);
    return command_end(status);
}
