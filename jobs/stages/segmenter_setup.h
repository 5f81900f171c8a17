/* The segmenter as a config and a file describe it, for the stages and
 * commands that build one. */
#ifndef STAGES_SEGMENTER_SETUP_H
#define STAGES_SEGMENTER_SETUP_H

#include "framework/config.h"
#include "models/segmenter/segmenter.h"
#include "storage/checkpoint.h"
#include "storage/dataset.h"

#define SEGMENTER_FILE "segmenter.h5"
#define SEGMENTER_KIND "segmenter"

/* `classes` is the number of seen classes. */
SegmenterConfig segmenter_config_from(const Config *config, int classes);

/* Weights, with the configuration and the class table in the header. */
Status segmenter_write(const char *path, Segmenter *segmenter, const Config *config, const ClassTable *classes);
/* Builds the network of such a file. `classes` (may be NULL) is filled and cleared by the caller; `digest` (may be
 * NULL) is freed by memory_free. */
Status segmenter_read(const char *path, Segmenter **segmenter, ClassTable *classes, char **digest);

#endif
