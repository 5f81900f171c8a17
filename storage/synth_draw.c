/* Painting of synthetic scenes. Shapes are signed distance functions (after
 * I. Quilez, "2D distance functions"), so that one function gives both the
 * exact map (distance < 0 at the pixel's centre) and the anti-aliased edge
 * (coverage by distance). */
#include <math.h>
#include <string.h>

#include "storage/synth_private.h"

#define PI_F 3.14159265F

typedef struct Point { float x, y; } Point;

static float clamp01(float v)
{
    return v < 0.0F ? 0.0F : v > 1.0F ? 1.0F : v;
}

static SynthColor mix(SynthColor a, SynthColor b, float t)
{
    return (SynthColor){a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

static Point rotate(float x, float y, float cosine, float sine)
{
    return (Point){cosine * x + sine * y, cosine * y - sine * x};
}

static float box_distance(Point p, float half_x, float half_y)
{
    float x = fabsf(p.x) - half_x, y = fabsf(p.y) - half_y;
    return hypotf(fmaxf(x, 0.0F), fmaxf(y, 0.0F)) + fminf(fmaxf(x, y), 0.0F);
}

static float triangle_distance(Point p, float half_side)
{
    const float k = 1.7320508F;
    float x = fabsf(p.x) - half_side, y = p.y + half_side / k;
    if (x + k * y > 0.0F) {
        float turned = (x - k * y) / 2.0F;
        y = (-k * x - y) / 2.0F;
        x = turned;
    }
    x -= fminf(fmaxf(x, -2.0F * half_side), 0.0F);
    return -copysignf(hypotf(x, y), y);
}

/* A star of five points with outer radius `r` and inner radius 0.45 r. */
static float star_distance(Point p, float r)
{
    const float inner = 0.45F, k1x = 0.809016994F, k1y = -0.587785252F;
    float x = fabsf(p.x), y = p.y;
    float d = 2.0F * fmaxf(k1x * x + k1y * y, 0.0F);
    x -= d * k1x;
    y -= d * k1y;
    d = 2.0F * fmaxf(-k1x * x + k1y * y, 0.0F);
    x += d * k1x;
    y -= d * k1y;
    x = fabsf(x);
    y -= r;
    float bx = inner * -k1y, by = inner * k1x - 1.0F;
    float h = fminf(fmaxf((x * bx + y * by) / (bx * bx + by * by), 0.0F), r);
    return copysignf(hypotf(x - bx * h, y - by * h), y * bx - x * by);
}

/* Pixels outside (positive) or inside; shapes of one radius have roughly one area. */
static float shape_distance(SynthShape shape, Point p, float radius)
{
    switch (shape) {
    case SHAPE_CIRCLE: return hypotf(p.x, p.y) - 0.92F * radius;
    case SHAPE_TRIANGLE: return triangle_distance((Point){p.x, -p.y}, 1.08F * radius);
    case SHAPE_STAR: return star_distance(p, 1.25F * radius);
    case SHAPE_RING: return fabsf(hypotf(p.x, p.y) - 0.76F * radius) - 0.27F * radius;
    case SHAPE_CROSS:
        return fminf(box_distance(p, 1.12F * radius, 0.36F * radius), box_distance(p, 0.36F * radius, 1.12F * radius));
    case SHAPE_SQUARE: return box_distance(p, 0.82F * radius, 0.82F * radius);
    case SHAPE_COUNT: break;
    }
    return 1e9F;
}

/* A square wave of period 1 and mean 1/2, whose edges are one pixel wide. */
static float square_wave(float t, float pixels_per_period)
{
    float phase = t - floorf(t);
    float edge = 0.25F - fabsf(phase - 0.5F); /* > 0 in the middle half */
    return clamp01(0.5F + edge * pixels_per_period);
}

/* The share of the second tone on a thing's surface. */
static float surface_tone(SynthSurface surface, const SynthThing *thing, Point p)
{
    float period = fmaxf(0.62F * thing->radius, 5.0F);
    float x = p.x / period + thing->pattern_phase, y = p.y / period + thing->pattern_phase;
    switch (surface) {
    case SURFACE_PLAIN: return 0.0F;
    case SURFACE_STRIPED: return square_wave(x, period);
    case SURFACE_DOTTED: {
        float dx = x - floorf(x) - 0.5F, dy = y - floorf(y) - 0.5F;
        return clamp01(0.5F + (0.31F - hypotf(dx, dy)) * period);
    }
    case SURFACE_CHECKED: {
        float a = square_wave(0.72F * x, period / 0.72F), b = square_wave(0.72F * y, period / 0.72F);
        return a + b - 2.0F * a * b;
    }
    case SURFACE_COUNT: break;
    }
    return 0.0F;
}

/* A hash of a lattice point in [0, 1). */
static float lattice(uint32_t hash, int x, int y)
{
    uint32_t h = hash ^ ((uint32_t)x * 0x9E3779B1U) ^ ((uint32_t)y * 0x85EBCA77U);
    h = (h ^ (h >> 15)) * 0x2C1B3C6DU;
    h = (h ^ (h >> 12)) * 0x297A2D39U;
    return (float)((h ^ (h >> 15)) >> 8) / 16777216.0F;
}

static float value_noise(uint32_t hash, float x, float y)
{
    float fx = floorf(x), fy = floorf(y);
    float tx = x - fx, ty = y - fy;
    int ix = (int)fx, iy = (int)fy;
    tx = tx * tx * (3.0F - 2.0F * tx);
    ty = ty * ty * (3.0F - 2.0F * ty);
    float top = lattice(hash, ix, iy) * (1.0F - tx) + lattice(hash, ix + 1, iy) * tx;
    float low = lattice(hash, ix, iy + 1) * (1.0F - tx) + lattice(hash, ix + 1, iy + 1) * tx;
    return top * (1.0F - ty) + low * ty;
}

static float bricks_tone(const SynthStuff *stuff, float x, float y)
{
    float row = floorf(y / 7.0F);
    float along = x / 13.0F + 0.5F * (float)((int)row & 1), column = floorf(along);
    float in_x = (along - column) * 13.0F, in_y = y - row * 7.0F;
    float joint = fminf(fminf(in_x, 13.0F - in_x), fminf(in_y, 7.0F - in_y));
    float mortar = clamp01(0.5F + (0.75F - joint) * stuff->scale);
    return mortar + (1.0F - mortar) * 0.28F * lattice(stuff->hash, (int)column, (int)row);
}

static float speckle_tone(const SynthStuff *stuff, float x, float y)
{
    const float cell = 4.5F;
    int cx = (int)floorf(x / cell), cy = (int)floorf(y / cell);
    float tone = 0.0F;
    for (int j = cy - 1; j <= cy + 1; j++)
        for (int i = cx - 1; i <= cx + 1; i++) {
            float dx = x - ((float)i + 0.15F + 0.7F * lattice(stuff->hash, i, j)) * cell;
            float dy = y - ((float)j + 0.15F + 0.7F * lattice(stuff->hash ^ 0x51ED270BU, i, j)) * cell;
            float radius = 0.6F + 1.0F * lattice(stuff->hash ^ 0x2545F491U, i, j);
            tone = fmaxf(tone, clamp01(0.5F + (radius - sqrtf(dx * dx + dy * dy)) * stuff->scale));
        }
    return tone;
}

static float planks_tone(const SynthStuff *stuff, float x, float y)
{
    float plank = floorf(x / 9.0F), in_x = x - plank * 9.0F;
    float seam = clamp01(0.5F + (0.6F - fminf(in_x, 9.0F - in_x)) * stuff->scale);
    float board = 0.45F * lattice(stuff->hash, (int)plank, 3);
    float grain = 0.3F * value_noise(stuff->hash ^ (uint32_t)(int)plank, x * 0.9F, y * 0.12F);
    return fmaxf(seam, board + grain);
}

float synth_texture_tone(SynthTexture texture, const SynthStuff *stuff, float px, float py)
{
    float cosine = cosf(stuff->turn), sine = sinf(stuff->turn);
    Point p = rotate(px / stuff->scale, py / stuff->scale, cosine, sine);
    float x = p.x + stuff->phase, y = p.y + stuff->phase;
    switch (texture) {
    case TEXTURE_WAVES: return 0.5F + 0.5F * sinf(2.0F * PI_F * (y + 1.7F * sinf(x * 0.35F)) / 8.0F);
    case TEXTURE_BRICKS: return bricks_tone(stuff, x, y);
    case TEXTURE_SPECKLE: return speckle_tone(stuff, x, y);
    case TEXTURE_PATCHES: {
        float noise = 0.65F * value_noise(stuff->hash, x / 9.0F, y / 9.0F) +
                      0.35F * value_noise(stuff->hash + 1U, x / 4.0F, y / 4.0F);
        return clamp01(0.5F + (noise - 0.5F) * 14.0F);
    }
    case TEXTURE_PLANKS: return planks_tone(stuff, x, y);
    case TEXTURE_HAZE: return value_noise(stuff->hash, x / 30.0F, y / 22.0F);
    case TEXTURE_COUNT: break;
    }
    return 0.0F;
}

static void put(float *canvas, int64_t pixel, SynthColor color, float share)
{
    float *to = canvas + 3 * pixel;
    to[0] += (color.r - to[0]) * share;
    to[1] += (color.g - to[1]) * share;
    to[2] += (color.b - to[2]) * share;
}

/* Signed distance (roughly pixels) to the border between the two stuffs; positive in the second. */
static float border_distance(const SynthScene *scene, float x, float y)
{
    float along = scene->border_y * x - scene->border_x * y;
    float wave = scene->wave_height[0] * sinf(scene->wave_number[0] * along + scene->wave_phase[0]) +
                 scene->wave_height[1] * sinf(scene->wave_number[1] * along + scene->wave_phase[1]);
    return scene->border_x * x + scene->border_y * y - scene->border_offset - wave;
}

static void paint_stuff(const SynthScene *scene, const SynthClasses *classes, float *canvas, uint8_t *map)
{
    for (int row = 0; row < scene->height; row++)
        for (int column = 0; column < scene->width; column++) {
            int64_t pixel = (int64_t)row * scene->width + column;
            float x = (float)column + 0.5F, y = (float)row + 0.5F;
            float distance = scene->stuff_count > 1 ? border_distance(scene, x, y) : -1.0F;
            float share = clamp01(0.5F + distance); /* of the second stuff */
            for (int i = 0; i < scene->stuff_count; i++) {
                if ((i == 0 ? 1.0F - share : share) <= 0.0F)
                    continue;
                const SynthStuff *stuff = &scene->stuff[i];
                float tone = synth_texture_tone(classes->items[stuff->class_index].texture, stuff, x, y);
                put(canvas, pixel, mix(stuff->base, stuff->second, tone), i == 0 ? 1.0F : share);
            }
            map[pixel] = (uint8_t)(distance > 0.0F ? 2 : 1);
        }
}

static void paint_thing(const SynthScene *scene, const SynthClass *class, const SynthThing *thing, uint8_t layer,
                        float *canvas, uint8_t *map)
{
    float reach = 1.35F * thing->radius + 4.0F;
    int top = (int)fmaxf(thing->y - reach, 0.0F), left = (int)fmaxf(thing->x - reach, 0.0F);
    int bottom = (int)fminf(thing->y + reach, (float)(scene->height - 1));
    int right = (int)fminf(thing->x + reach, (float)(scene->width - 1));
    float cosine = cosf(thing->turn), sine = sinf(thing->turn);
    float pattern_cosine = cosf(thing->pattern_turn), pattern_sine = sinf(thing->pattern_turn);
    float cast = 0.12F * thing->radius + 0.5F, blur = 0.16F * thing->radius + 1.0F; /* of its shadow */
    float rim = fmaxf(0.05F * thing->radius, 0.7F);
    for (int row = top; row <= bottom; row++)
        for (int column = left; column <= right; column++) {
            int64_t pixel = (int64_t)row * scene->width + column;
            float x = (float)column + 0.5F - thing->x, y = (float)row + 0.5F - thing->y;
            float distance = shape_distance(class->shape, rotate(x, y, cosine, sine), thing->radius);
            float coverage = clamp01(0.5F - distance);
            if (coverage < 1.0F) { /* a soft shadow, away from the light */
                Point away = rotate(x + cast * scene->light_x, y + cast * scene->light_y, cosine, sine);
                float depth = shape_distance(class->shape, away, thing->radius);
                put(canvas, pixel, (SynthColor){0, 0, 0}, 0.38F * clamp01(0.5F - 0.5F * depth / blur));
            }
            if (coverage > 0.0F) {
                float tone = surface_tone(class->surface, thing, rotate(x, y, pattern_cosine, pattern_sine));
                SynthColor color = mix(thing->base, thing->second, tone);
                float shade = 1.0F + 0.16F * (x * scene->light_x + y * scene->light_y) / thing->radius;
                shade *= 1.0F - 0.35F * clamp01(1.0F + distance / rim);
                color = (SynthColor){color.r * shade, color.g * shade, color.b * shade};
                put(canvas, pixel, color, coverage);
            }
            if (distance < 0.0F)
                map[pixel] = layer;
        }
}

void synth_paint(const SynthScene *scene, const SynthClasses *classes, float *canvas, uint8_t *map)
{
    int64_t pixels = (int64_t)scene->height * scene->width;
    for (int64_t i = 0; i < 3 * pixels; i++)
        canvas[i] = 0.5F;
    memset(map, 0, (size_t)pixels);
    if (scene->stuff_count > 0)
        paint_stuff(scene, classes, canvas, map);
    for (int i = 0; i < scene->thing_count; i++)
        paint_thing(scene, &classes->items[scene->things[i].class_index], &scene->things[i],
                    (uint8_t)(1 + scene->stuff_count + i), canvas, map);
    float height = (float)scene->height, width = (float)scene->width;
    for (int row = 0; row < scene->height; row++)
        for (int column = 0; column < scene->width; column++) {
            float x = 2.0F * ((float)column + 0.5F) / width - 1.0F, y = 2.0F * ((float)row + 0.5F) / height - 1.0F;
            float light = scene->brightness *
                          (1.0F + 0.3F * scene->light_strength * (x * scene->light_x + y * scene->light_y));
            float *to = canvas + 3 * ((int64_t)row * scene->width + column);
            for (int c = 0; c < 3; c++)
                to[c] *= light;
        }
}
