/* What stands where in a synthetic scene. */
#include <math.h>
#include <string.h>

#include "storage/synth_private.h"

#define PI 3.14159265358979323846
#define PLACING_TRIES 12

static double between(Random *random, double low, double high)
{
    return low + (high - low) * random_uniform(random);
}

/* A class from [first, first + count) that may be used and is not `taken` (-1: none). */
static int choose_class(const SynthClasses *classes, int first, int count, bool allow_unseen, int taken, Random *random)
{
    int allowed = 0;
    for (int i = first; i < first + count; i++)
        allowed += i != taken && (allow_unseen || !classes->items[i].is_unseen);
    if (allowed == 0)
        return -1;
    int64_t left = random_below(random, allowed);
    for (int i = first; i < first + count; i++)
        if (i != taken && (allow_unseen || !classes->items[i].is_unseen) && left-- == 0)
            return i;
    return -1;
}

static double family_hue(const SynthOptions *options, SynthColour colour, Random *random)
{
    return synth_colour_hue(colour) + options->hue_spread * between(random, -20.0, 20.0);
}

/* Stuff is muted and things are vivid, so that a thing stands out from stuff of its own colour family. */
static void make_stuff(const SynthOptions *options, const SynthClass *class, Random *random, SynthStuff *stuff)
{
    double hue = family_hue(options, class->colour, random);
    double saturation = between(random, 0.30, 0.48), value = between(random, 0.42, 0.68);
    stuff->base = synth_hsv(hue, saturation, value);
    double step = between(random, 0.20, 0.30) * (value > 0.55 ? -1.0 : 1.0);
    stuff->second = synth_hsv(hue + between(random, -6.0, 6.0), saturation * between(random, 0.8, 1.2), value + step);
    int side = options->height < options->width ? options->height : options->width;
    stuff->scale = (float)(side / 64.0 * between(random, 0.85, 1.25));
    stuff->turn = (float)between(random, -0.2, 0.2);
    stuff->phase = (float)between(random, 0.0, 64.0);
    stuff->hash = random_bits(random);
}

static void make_border(const SynthOptions *options, Random *random, SynthScene *scene)
{
    double turn = random_uniform(random) < 0.75 ? between(random, -0.25, 0.25) : between(random, -PI / 2, PI / 2);
    double h = options->height, w = options->width;
    scene->border_x = (float)sin(turn);
    scene->border_y = (float)cos(turn);
    double x = w * between(random, 0.35, 0.65), y = h * between(random, 0.35, 0.65);
    scene->border_offset = (float)(scene->border_x * x + scene->border_y * y);
    double side = h < w ? h : w;
    for (int i = 0; i < 2; i++) {
        scene->wave_height[i] = (float)(side * between(random, 0.0, i == 0 ? 0.05 : 0.02));
        scene->wave_number[i] = (float)(2 * PI / side * between(random, i == 0 ? 0.5 : 2.0, i == 0 ? 1.5 : 4.0));
        scene->wave_phase[i] = (float)between(random, 0.0, 2 * PI);
    }
}

/* Apart from those already there where that is possible; overlaps are wanted, hidden things are not. */
static void place_thing(const SynthOptions *options, Random *random, SynthScene *scene, SynthThing *thing)
{
    double side = options->height < options->width ? options->height : options->width;
    double best = -1e30;
    thing->radius = (float)(side * between(random, 0.13, 0.25));
    for (int attempt = 0; attempt < PLACING_TRIES; attempt++) {
        double margin = 0.6 * thing->radius;
        double x = between(random, margin, options->width - margin);
        double y = between(random, margin, options->height - margin);
        double gap = 1.0;
        for (int i = 0; i < scene->thing_count; i++) {
            const SynthThing *other = &scene->things[i];
            double apart = hypot(x - other->x, y - other->y) / (double)(thing->radius + other->radius);
            gap = apart < gap ? apart : gap;
        }
        if (gap > best) {
            best = gap;
            thing->x = (float)x;
            thing->y = (float)y;
        }
        if (gap > 0.75)
            break;
    }
}

static void make_thing(const SynthOptions *options, const SynthClass *class, Random *random, SynthScene *scene,
                       SynthThing *thing)
{
    place_thing(options, random, scene, thing);
    thing->turn = (float)between(random, 0.0, 2 * PI);
    thing->pattern_turn = (float)between(random, 0.0, 2 * PI);
    thing->pattern_phase = (float)between(random, 0.0, 1.0);
    double hue = family_hue(options, class->colour, random);
    double saturation = between(random, 0.72, 0.95), value = between(random, 0.78, 1.0);
    thing->base = synth_hsv(hue, saturation, value);
    if (random_uniform(random) < 0.5) /* the second tone is pale or dark, of the same hue: the family stays readable */
        thing->second = synth_hsv(hue, saturation * 0.22, 0.97);
    else
        thing->second = synth_hsv(hue, saturation, value * 0.38);
}

void synth_scene_make(const SynthOptions *options, const SynthClasses *classes, bool allow_unseen, Random *random,
                      SynthScene *scene)
{
    memset(scene, 0, sizeof *scene);
    scene->height = options->height;
    scene->width = options->width;
    int stuff_classes = classes->count - classes->things, last = -1;
    int wanted = random_uniform(random) < 0.75 ? 2 : 1;
    for (int i = 0; i < wanted && stuff_classes > 0; i++) {
        int class_index = choose_class(classes, classes->things, stuff_classes, allow_unseen, last, random);
        if (class_index < 0)
            break;
        make_stuff(options, &classes->items[class_index], random, &scene->stuff[i]);
        scene->stuff[i].class_index = last = class_index;
        scene->stuff_count++;
    }
    make_border(options, random, scene);
    wanted = 2 + (int)random_below(random, SYNTH_MAX_SCENE_THINGS - 1);
    for (int i = 0; i < wanted && classes->things > 0; i++) {
        int class_index = choose_class(classes, 0, classes->things, allow_unseen, -1, random);
        if (class_index < 0)
            break;
        make_thing(options, &classes->items[class_index], random, scene, &scene->things[i]);
        scene->things[i].class_index = class_index;
        scene->thing_count++;
    }
    double angle = between(random, -0.9 * PI, -0.1 * PI); /* light from above */
    scene->light_x = (float)cos(angle);
    scene->light_y = (float)sin(angle);
    scene->light_strength = (float)(options->lighting * between(random, 0.3, 1.0));
    scene->brightness = (float)(1.0 + 0.15 * options->lighting * between(random, -1.0, 1.0));
}
