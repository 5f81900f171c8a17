/* Weights from and for other programs, as safetensors files with their names. */
#ifndef STAGES_WEIGHT_EXCHANGE_H
#define STAGES_WEIGHT_EXCHANGE_H

#include <stdio.h>

#include "models/generator/generator.h"
#include "models/segmenter/segmenter.h"
#include "models/segmenter/weight_names.h"
#include "storage/dataset.h"

/* Reads the part of the segmenter (F32) from a file whose names are any of the styles; others keep their values.
 * Strict: tensors that are missing, of another shape, or that belong to the part and to nothing in it are listed by
 * name, and nothing is changed. A MobileNetV2 with its batch norms is folded; its padding (the metadata's, or
 * torchvision's where there are norms) must be the network's.
 *
 * The class head has a row for each seen class of `classes`, in the table's order, and one for no object. A file's head
 * may be that, or have a row for every class of the table, as PADing's panoptic one: then the seen rows are taken. */
Status weights_import(const char *path, WeightPart part, const ClassTable *classes, Segmenter *segmenter);

/* The generator (F32) and its classifier from a file with PADing's names, as strictly; a kind that synthesises nothing
 * reads the classifier, new_fc, alone. What the file holds of a segmenter is passed over. */
Status weights_import_generator(const char *path, Generator *generator);

/* A segmenter.h5, generator.h5 or classifier.h5 as safetensors. Of the last two there are PADing's names only, which
 * are also ours. Tensors without a name in the style are left out: a backbone's style takes the backbone alone. */
Status weights_export(const char *from, WeightStyle style, const char *to);
/* The network and classes of the segmenter.h5 `model` with weights from a safetensors file, as a new segmenter.h5. */
Status weights_replace(const char *model, const char *weights, WeightPart part, const char *to);
/* Names, types and shapes of a safetensors file or of one of ours, with a line on what it is. */
Status weights_print(const char *path, FILE *out);

#endif
