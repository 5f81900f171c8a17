/* Synthetic scenes in exactly the COCO panoptic layout, for studies that need
 * no download and tests that need zero-shot transfer to be possible.
 *
 * A class is a combination of attributes: a thing is shape x surface x colour
 * family ("striped red star"), a stuff is texture x colour family ("blue
 * waves"). Unseen classes are new combinations of attribute values that other,
 * seen classes show (two or more of them unless classes are few), and a class
 * vector is the sum of the vectors of the class's attribute values plus noise, so
 * an unseen class can be recognised in principle, and only by transfer.
 *
 * OUTPUT/train/NNNNNNNNNNNN.jpg           images
 * OUTPUT/panoptic_train/NNNNNNNNNNNN.png  segment ids, R + 256 G + 65536 B; 0 is void
 * OUTPUT/panoptic_train.json              and the same three for "val"
 * OUTPUT/class_vectors.csv                name,v1,...: one row per class
 * OUTPUT/attributes.csv                   name,kind,split,shape,surface,texture,colour
 * OUTPUT/unseen.txt                       names of unseen classes, one a line
 */
#ifndef STORAGE_SYNTH_H
#define STORAGE_SYNTH_H

#include <stdint.h>

#include "framework/status.h"

#define SYNTH_MIN_SIDE 32   /* below this an object cannot show its surface */
#define SYNTH_MAX_SIDE 8192
#define SYNTH_MAX_THINGS 96
#define SYNTH_MAX_STUFF 36

typedef struct SynthOptions {
    const char *output;      /* directory; created */
    int64_t train_images, val_images;
    int height, width;       /* pixels, SYNTH_MIN_SIDE .. SYNTH_MAX_SIDE */
    uint64_t seed;           /* scenes; image n of a split depends on seed, split and n only */
    int things, unseen_things; /* thing classes in all, and how many of them are unseen */
    int stuff, unseen_stuff;
    double unseen_rate;      /* probability that a training scene may hold unseen classes; validation always may */
    double noise;            /* standard deviation of pixel noise, in grey levels of 255 */
    double lighting;         /* strength of the lighting gradient, 0 none .. 1 strong */
    double hue_spread;       /* 0: one hue per family .. 1: families nearly touch */
    int vector_dim;          /* numbers per class vector, >= 8 */
    double vector_noise;     /* standard deviation of a class's own part, relative to its attributes' part */
    int quality;             /* JPEG, 1 .. 100; above 90 without chroma subsampling */
    int min_area;            /* visible pixels below which a remnant becomes void */
} SynthOptions;

/* 16 things (4 unseen), 8 stuff (2 unseen), 64 x 64, 2000 + 400 images, 64-d vectors. `output` is NULL. */
SynthOptions synth_defaults(void);

/* Writes the data set. The two JSON files come last: a directory without both
 * is an interrupted synth, and writing it again makes it whole. Old JSON files
 * are removed first. Errors: STATUS_INVALID naming the option out of range or
 * a class count for which no covered unseen combination exists; STATUS_IO and
 * STATUS_NO_SPACE from writing. Shows progress on standard error. Local. */
Status synth_write(const SynthOptions *options);

#endif
