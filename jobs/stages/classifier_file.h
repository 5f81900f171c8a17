/* The finetuned classifier: what the generator stage leaves and evaluate and
 * predict read. */
#ifndef STAGES_CLASSIFIER_FILE_H
#define STAGES_CLASSIFIER_FILE_H

#include "storage/dataset.h"

#define CLASSIFIER_FILE "classifier.h5"
#define CLASSIFIER_KIND "classifier"

typedef struct Classifier {
    ClassTable classes;
    int embed_dim;
    float *weight;          /* [C + 1, D]: classes in table order, then no object */
    float *bias;            /* [C + 1] */
    char *segmenter_digest; /* of the segmenter whose embeddings it classifies */
} Classifier;
void classifier_clear(Classifier *classifier);

Status classifier_write(const char *path, const Classifier *classifier);
Status classifier_read(const char *path, Classifier *classifier); /* cleared by the caller, also after a failure */

#endif
