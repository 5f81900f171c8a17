/* Classes of synthetic scenes: which combinations exist, which are unseen, and their vectors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/synth_private.h"

#define X(id, name, ...) name,
static const char *const SHAPE_NAMES[] = {SYNTH_SHAPES(X)};
static const char *const SURFACE_NAMES[] = {SYNTH_SURFACES(X)};
static const char *const COLOUR_NAMES[] = {SYNTH_COLOURS(X)};
static const char *const TEXTURE_NAMES[] = {SYNTH_TEXTURES(X)};
#undef X
#define X(id, name, hue) hue,
static const double COLOUR_HUES[] = {SYNTH_COLOURS(X)};
#undef X
_Static_assert(sizeof SHAPE_NAMES / sizeof *SHAPE_NAMES == SHAPE_COUNT, "a name per shape");
_Static_assert(sizeof SURFACE_NAMES / sizeof *SURFACE_NAMES == SURFACE_COUNT, "a name per surface");
_Static_assert(sizeof COLOUR_NAMES / sizeof *COLOUR_NAMES == COLOUR_COUNT, "a name per colour");
_Static_assert(sizeof TEXTURE_NAMES / sizeof *TEXTURE_NAMES == TEXTURE_COUNT, "a name per texture");

/* Every unseen class's attribute values must be shown by at least this many seen classes of its kind. The choice makes
 * it as many as it can: two or more with a quarter of at least 8 things, or of 8 stuff, unseen. */
#define LEAST_COVER 1
#define MAX_ATTRIBUTES 3

double synth_colour_hue(SynthColour colour)
{
    return COLOUR_HUES[colour];
}

SynthColor synth_hsv(double hue_degrees, double saturation, double value)
{
    double hue = fmod(fmod(hue_degrees, 360.0) + 360.0, 360.0) / 60.0;
    double channel[3];
    for (int i = 0; i < 3; i++) { /* f(n) = v - v s max(0, min(k, 4 - k, 1)), k = (n + h/60) mod 6, n = 5, 3, 1 */
        double k = fmod(5.0 - 2.0 * i + hue, 6.0);
        double ramp = fmax(0.0, fmin(fmin(k, 4.0 - k), 1.0));
        channel[i] = value - value * saturation * ramp;
    }
    return (SynthColor){(float)channel[0], (float)channel[1], (float)channel[2]};
}

static int square_side(int count, int most)
{
    int side = 1;
    while (side < most && side * side < count)
        side++;
    return side;
}

/* Attribute values of a class, as places in one list per kind; colours are shared by things and stuff. */
static int attributes_of(const SynthClass *class, int values[MAX_ATTRIBUTES])
{
    if (class->is_thing) {
        values[0] = (int)class->shape;
        values[1] = SHAPE_COUNT + (int)class->surface;
        values[2] = SHAPE_COUNT + SURFACE_COUNT + (int)class->colour;
        return 3;
    }
    values[0] = (int)class->texture;
    values[1] = TEXTURE_COUNT + (int)class->colour;
    return 2;
}
#define MAX_VALUES (SHAPE_COUNT + SURFACE_COUNT + COLOUR_COUNT)

/* Least number of seen classes that show an attribute value of class `which`. */
static int least_cover(const SynthClass *items, int count, int which)
{
    int cover[MAX_VALUES] = {0}, values[MAX_ATTRIBUTES];
    for (int i = 0; i < count; i++) {
        if (items[i].is_unseen)
            continue;
        int n = attributes_of(&items[i], values);
        for (int k = 0; k < n; k++)
            cover[values[k]]++;
    }
    int n = attributes_of(&items[which], values), least = count;
    for (int k = 0; k < n; k++)
        if (cover[values[k]] < least)
            least = cover[values[k]];
    return least;
}

static int shared_with_unseen(const SynthClass *items, int count, int which)
{
    int mine[MAX_ATTRIBUTES], other[MAX_ATTRIBUTES], shared = 0;
    int n = attributes_of(&items[which], mine);
    for (int i = 0; i < count; i++) {
        if (!items[i].is_unseen || i == which)
            continue;
        attributes_of(&items[i], other);
        for (int k = 0; k < n; k++)
            shared += mine[k] == other[k];
    }
    return shared;
}

/* One after another, the class that leaves the unseen ones best covered, and among equals the one with least in common
 * with those already chosen: for a square table of combinations that is a transversal, which takes one class from
 * every attribute value. */
static Status choose_unseen(SynthClass *items, int count, int unseen, const char *option)
{
    for (int chosen = 0; chosen < unseen; chosen++) {
        int best = -1, best_cover = -1, best_shared = 0;
        for (int i = 0; i < count; i++) {
            if (items[i].is_unseen)
                continue;
            items[i].is_unseen = true;
            int cover = count;
            for (int j = 0; j < count; j++)
                if (items[j].is_unseen) {
                    int least = least_cover(items, count, j);
                    cover = least < cover ? least : cover;
                }
            int shared = shared_with_unseen(items, count, i);
            items[i].is_unseen = false;
            if (cover > best_cover || (cover == best_cover && shared < best_shared)) {
                best = i;
                best_cover = cover;
                best_shared = shared;
            }
        }
        if (best < 0 || best_cover < LEAST_COVER)
            return status_error(STATUS_INVALID, "%s: of %d classes at most %d can be unseen, if every attribute of an "
                                "unseen class is to be shown by a seen one; raise the number of classes", option,
                                count, chosen);
        items[best].is_unseen = true;
    }
    return OK;
}

/* Things lie in a table of shape by colour whose surfaces form a Latin square (exclusive or has transversals where a
 * cyclic square of order 4 has none), so that two attributes of a class already tell it from the others; each further
 * layer of the table shifts the surfaces. */
static void make_things(SynthClass *items, int count)
{
    int shapes = square_side(count, SHAPE_COUNT);
    int colours = (count + shapes - 1) / (shapes > 0 ? shapes : 1);
    colours = colours > COLOUR_COUNT ? COLOUR_COUNT : colours;
    int surfaces = count < 4 ? 1 : count < 16 ? count / 4 : SURFACE_COUNT; /* each shown by four classes or more */
    for (int n = 0; n < count; n++) {
        int shape = n % shapes, colour = n / shapes % colours, layer = n / (shapes * colours);
        SynthClass *class = &items[n];
        class->is_thing = true;
        class->shape = (SynthShape)shape;
        class->colour = (SynthColour)colour;
        class->surface = (SynthSurface)(((shape ^ colour) + layer) % surfaces);
        snprintf(class->name, sizeof class->name, "%s %s %s", SURFACE_NAMES[class->surface],
                 COLOUR_NAMES[class->colour], SHAPE_NAMES[class->shape]);
    }
}

static void make_stuff(SynthClass *items, int count)
{
    /* What grounds and skies mostly are comes first. */
    static const SynthColour order[COLOUR_COUNT] = {COLOUR_GREEN, COLOUR_BLUE,   COLOUR_YELLOW,
                                                    COLOUR_RED,   COLOUR_PURPLE, COLOUR_TEAL};
    int textures = square_side(count, TEXTURE_COUNT);
    for (int n = 0; n < count; n++) {
        SynthClass *class = &items[n];
        class->texture = (SynthTexture)(n % textures);
        class->colour = order[n / textures];
        snprintf(class->name, sizeof class->name, "%s %s", COLOUR_NAMES[class->colour], TEXTURE_NAMES[class->texture]);
    }
}

/* Category colours: hue of the family, told apart within it by lightness, so that legends read like the scenes. */
static void color_classes(SynthClasses *classes)
{
    int used[COLOUR_COUNT] = {0}, total[COLOUR_COUNT] = {0};
    for (int n = 0; n < classes->count; n++)
        total[classes->items[n].colour]++;
    for (int n = 0; n < classes->count; n++) {
        SynthClass *class = &classes->items[n];
        int rank = used[class->colour]++;
        double place = total[class->colour] < 2 ? 0.0 : (double)rank / (total[class->colour] - 1);
        double hue = synth_colour_hue(class->colour) + (rank % 2 == 0 ? -9.0 : 9.0);
        SynthColor color = synth_hsv(hue, class->is_thing ? 0.92 - 0.3 * place : 0.38, (class->is_thing ? 1.0 : 0.78) - 0.42 * place);
        class->color[0] = (uint8_t)lrintf(255.0F * color.r);
        class->color[1] = (uint8_t)lrintf(255.0F * color.g);
        class->color[2] = (uint8_t)lrintf(255.0F * color.b);
    }
}

Status synth_classes_make(const SynthOptions *options, SynthClasses *classes)
{
    memset(classes, 0, sizeof *classes);
    classes->things = options->things;
    classes->count = options->things + options->stuff;
    SynthClass *stuff = classes->items + options->things;
    make_things(classes->items, options->things);
    make_stuff(stuff, options->stuff);
    TRY(choose_unseen(classes->items, options->things, options->unseen_things, "unseen_things"));
    TRY(choose_unseen(stuff, options->stuff, options->unseen_stuff, "unseen_stuff"));
    color_classes(classes);
    return OK;
}

static void add_normal(double *vector, int dim, uint64_t seed, const char *name, double scale)
{
    Random random = random_stream(seed, RANDOM_SYNTH, SYNTH_STREAM_VECTORS, random_name_key(name));
    for (int i = 0; i < dim; i++)
        vector[i] += scale * random_normal(&random);
}

/* Sum of the vectors of the attribute values and the class's own part, scaled to length 1. */
static void class_vector(const SynthOptions *options, const SynthClass *class, double *vector)
{
    int dim = options->vector_dim;
    memset(vector, 0, (size_t)dim * sizeof *vector);
    char name[64];
    const char *parts[MAX_ATTRIBUTES] = {COLOUR_NAMES[class->colour]};
    const char *kinds[MAX_ATTRIBUTES] = {"colour", class->is_thing ? "shape" : "texture", "surface"};
    parts[1] = class->is_thing ? SHAPE_NAMES[class->shape] : TEXTURE_NAMES[class->texture];
    parts[2] = class->is_thing ? SURFACE_NAMES[class->surface] : NULL;
    int count = class->is_thing ? 3 : 2;
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s:%s", kinds[i], parts[i]);
        add_normal(vector, dim, options->seed, name, 1.0 / sqrt((double)count));
    }
    add_normal(vector, dim, options->seed, class->name, options->vector_noise);
    double square = 0.0;
    for (int i = 0; i < dim; i++)
        square += vector[i] * vector[i];
    for (int i = 0; i < dim; i++)
        vector[i] /= sqrt(square);
}

static Status write_text(const char *directory, const char *name, Text *text)
{
    char *path = path_join(directory, name);
    Status status = OK;
    if (path == NULL || text->failed)
        status = status_no_memory(text->length, name);
    else
        status = file_write(path, text_string(text), text->length);
    memory_free(path);
    text_free(text);
    return status;
}

Status synth_classes_write(const SynthOptions *options, const SynthClasses *classes)
{
    double *vector = memory_alloc_zero((size_t)options->vector_dim, sizeof *vector);
    if (vector == NULL)
        return status_no_memory((size_t)options->vector_dim * sizeof *vector, "a class vector");
    Text vectors = {0}, attributes = {0}, unseen = {0};
    text_append(&attributes, "name,kind,split,shape,surface,texture,colour\n");
    for (int n = 0; n < classes->count; n++) {
        const SynthClass *class = &classes->items[n];
        class_vector(options, class, vector);
        text_append(&vectors, class->name);
        for (int i = 0; i < options->vector_dim; i++)
            text_format(&vectors, ",%.7g", vector[i]);
        text_append(&vectors, "\n");
        text_format(&attributes, "%s,%s,%s,%s,%s,%s,%s\n", class->name, class->is_thing ? "thing" : "stuff",
                    class->is_unseen ? "unseen" : "seen", class->is_thing ? SHAPE_NAMES[class->shape] : "",
                    class->is_thing ? SURFACE_NAMES[class->surface] : "",
                    class->is_thing ? "" : TEXTURE_NAMES[class->texture], COLOUR_NAMES[class->colour]);
        if (class->is_unseen)
            text_format(&unseen, "%s\n", class->name);
    }
    memory_free(vector);
    Status status = write_text(options->output, "class_vectors.csv", &vectors);
    status = status_first(status, write_text(options->output, "attributes.csv", &attributes));
    return status_first(status, write_text(options->output, "unseen.txt", &unseen));
}
