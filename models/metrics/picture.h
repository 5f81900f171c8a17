/* Pictures for people: image, truth and prediction side by side, with a
 * legend. A class has one colour everywhere; segments are outlined; an unseen
 * class is hatched in the maps and marked by a star in the legend. */
#ifndef MODELS_METRICS_PICTURE_H
#define MODELS_METRICS_PICTURE_H

#include "models/metrics/panoptic.h"
#include "storage/image.h"

typedef struct PictureOptions {
    const uint8_t *rgb;             /* [height, width, 3]; NULL: no image panel */
    int height, width;              /* of rgb; both maps must have this size */
    const PanopticMap *truth;       /* NULL: no such panel */
    const PanopticMap *prediction;  /* NULL: no such panel */
    const ClassTable *classes;
    const char *title;              /* a line above; NULL: none */
    int panel_side;                 /* smaller images are magnified by a whole number until their longer side comes
                                       nearest below this; 0: 320 */
} PictureOptions;

/* Draws into `picture` (whose memory is reused). STATUS_INVALID where sizes differ or there is nothing to draw. */
Status picture_compose(const PictureOptions *options, Image *picture);
/* Several pictures of one width (narrower ones are padded) one below another. */
Status picture_stack(const Image *pictures, int count, Image *picture);

/* The colour of a class: its table entry's, or where that is black a distinct one by its place. */
void picture_class_color(const ClassTable *classes, int class_index, uint8_t color[3]);

#endif
