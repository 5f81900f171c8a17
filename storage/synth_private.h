/* Between the files of synth: its classes, what a scene is, and how one is painted. */
#ifndef STORAGE_SYNTH_PRIVATE_H
#define STORAGE_SYNTH_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/random.h"
#include "storage/image.h"
#include "storage/synth.h"

/* Streams of RANDOM_SYNTH, by step. */
enum { SYNTH_STREAM_TRAIN = 0, SYNTH_STREAM_VAL = 1, SYNTH_STREAM_VECTORS = 2, SYNTH_STREAM_IDS = 4 };

#define SYNTH_SHAPES(X) \
    X(SHAPE_CIRCLE, "circle") X(SHAPE_TRIANGLE, "triangle") X(SHAPE_STAR, "star") X(SHAPE_RING, "ring") \
    X(SHAPE_CROSS, "cross") X(SHAPE_SQUARE, "square")
#define SYNTH_SURFACES(X) \
    X(SURFACE_PLAIN, "plain") X(SURFACE_STRIPED, "striped") X(SURFACE_DOTTED, "dotted") X(SURFACE_CHECKED, "checked")
/* colour family, name, centre of its hues in degrees */
#define SYNTH_COLOURS(X) \
    X(COLOUR_RED, "red", 2) X(COLOUR_YELLOW, "yellow", 48) X(COLOUR_BLUE, "blue", 218) X(COLOUR_GREEN, "green", 112) \
    X(COLOUR_PURPLE, "purple", 280) X(COLOUR_TEAL, "teal", 172)
#define SYNTH_TEXTURES(X) \
    X(TEXTURE_WAVES, "waves") X(TEXTURE_BRICKS, "bricks") X(TEXTURE_SPECKLE, "speckle") \
    X(TEXTURE_PATCHES, "patches") X(TEXTURE_PLANKS, "planks") X(TEXTURE_HAZE, "haze")

#define X(id, ...) id,
typedef enum SynthShape { SYNTH_SHAPES(X) SHAPE_COUNT } SynthShape;
typedef enum SynthSurface { SYNTH_SURFACES(X) SURFACE_COUNT } SynthSurface;
typedef enum SynthColour { SYNTH_COLOURS(X) COLOUR_COUNT } SynthColour;
typedef enum SynthTexture { SYNTH_TEXTURES(X) TEXTURE_COUNT } SynthTexture;
#undef X

typedef struct SynthClass {
    char name[40];
    bool is_thing, is_unseen;
    SynthShape shape;      /* things */
    SynthSurface surface;  /* things */
    SynthTexture texture;  /* stuff */
    SynthColour colour;
    uint8_t color[3];      /* of the category */
} SynthClass;

#define SYNTH_MAX_CLASSES (SYNTH_MAX_THINGS + SYNTH_MAX_STUFF)
typedef struct SynthClasses {
    int count, things;     /* things come first */
    SynthClass items[SYNTH_MAX_CLASSES];
} SynthClasses;

Status synth_classes_make(const SynthOptions *options, SynthClasses *classes);
/* class_vectors.csv, attributes.csv and unseen.txt in options->output. */
Status synth_classes_write(const SynthOptions *options, const SynthClasses *classes);
double synth_colour_hue(SynthColour colour); /* degrees */

typedef struct SynthColor { float r, g, b; } SynthColor; /* 0 .. 1 */
SynthColor synth_hsv(double hue_degrees, double saturation, double value);

#define SYNTH_MAX_SCENE_THINGS 4
#define SYNTH_MAX_SCENE_STUFF 2
#define SYNTH_MAX_SEGMENTS (SYNTH_MAX_SCENE_THINGS + SYNTH_MAX_SCENE_STUFF)

/* One thing in a scene. Lengths in pixels, angles in radians. */
typedef struct SynthThing {
    int class_index;
    float x, y, radius;
    float turn, pattern_turn, pattern_phase;
    SynthColor base, second; /* the two tones of its surface */
} SynthThing;

typedef struct SynthStuff {
    int class_index;
    SynthColor base, second;
    float scale, turn, phase;
    uint32_t hash;
} SynthStuff;

/* All that is drawn by chance in an image but its pixel noise. */
typedef struct SynthScene {
    int height, width;
    int stuff_count, thing_count;
    SynthStuff stuff[SYNTH_MAX_SCENE_STUFF];
    SynthThing things[SYNTH_MAX_SCENE_THINGS]; /* from back to front */
    float border_x, border_y, border_offset;   /* stuff 1 lies where border_x * x + border_y * y > offset + wave */
    float wave_height[2], wave_number[2], wave_phase[2];
    float light_x, light_y, light_strength, brightness;
} SynthScene;

/* Composes a scene from `random`; unseen classes only where `allow_unseen`. */
void synth_scene_make(const SynthOptions *options, const SynthClasses *classes, bool allow_unseen, Random *random,
                      SynthScene *scene);
/* Paints it: canvas [height, width, 3] of 0 .. 1 (lighting may exceed it), map [height, width] of layers: 0 for none, 1
 * .. stuff_count for stuff, then things. */
void synth_paint(const SynthScene *scene, const SynthClasses *classes, float *canvas, uint8_t *map);
/* A texture's share of the second tone at a point, 0 .. 1. */
float synth_texture_tone(SynthTexture texture, const SynthStuff *stuff, float x, float y);

#endif
