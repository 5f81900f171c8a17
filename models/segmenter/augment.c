#include "models/segmenter/augment.h"

#include <math.h>
#include <string.h>

/* Where output pixel i of an axis lies in the source. */
static double source_position(int i, double offset, double scale)
{
    return (i + offset + 0.5) / scale - 0.5;
}

static float sample_channel(const uint8_t *rgb, int height, int width, double y, double x, int channel)
{
    double cy = fmin(fmax(y, 0), height - 1), cx = fmin(fmax(x, 0), width - 1);
    int y0 = (int)cy, x0 = (int)cx;
    int y1 = y0 + 1 < height ? y0 + 1 : y0, x1 = x0 + 1 < width ? x0 + 1 : x0;
    float fy = (float)(cy - y0), fx = (float)(cx - x0);
    const uint8_t *row0 = rgb + (int64_t)y0 * width * 3 + channel, *row1 = rgb + (int64_t)y1 * width * 3 + channel;
    float top = row0[x0 * 3] + fx * (float)(row0[x1 * 3] - row0[x0 * 3]);
    float bottom = row1[x0 * 3] + fx * (float)(row1[x1 * 3] - row1[x0 * 3]);
    return top + fy * (bottom - top);
}

typedef struct Placement {
    double scale, offset_y, offset_x; /* crop pixel (y, x) is at (y + offset) / scale of the source */
    bool mirrored;
    double brightness, contrast, saturation;
} Placement;

static double unit_scale(const AugmentConfig *config, int height, int width)
{
    switch (config->scale_of) {
    case AUGMENT_SCALE_FIT: return fmin((double)config->height / height, (double)config->width / width);
    case AUGMENT_SCALE_SHORT_SIDE: return fmin(config->height, config->width) / fmin(height, width);
    default: return 1;
    }
}

static double draw_offset(const AugmentConfig *config, Random *random, double scaled, int crop)
{
    double offset = floor(random_uniform(random) * (fabs(scaled - crop) + 1));
    if (scaled >= crop) return offset;
    return config->scale_of == AUGMENT_SCALE_IMAGE ? -offset : 0;
}

static Placement draw_placement(const AugmentConfig *config, Random *random, int height, int width)
{
    Placement p;
    p.scale = config->scale_low + (config->scale_high - config->scale_low) * random_uniform(random);
    p.scale *= unit_scale(config, height, width);
    p.offset_y = draw_offset(config, random, floor(height * p.scale), config->height);
    p.offset_x = draw_offset(config, random, floor(width * p.scale), config->width);
    p.mirrored = random_uniform(random) < 0.5 && config->flip;
    p.brightness = 1 + config->colour * (2 * random_uniform(random) - 1);
    p.contrast = 1 + config->colour * (2 * random_uniform(random) - 1);
    p.saturation = 1 + config->colour * (2 * random_uniform(random) - 1);
    return p;
}

static float clamp_byte(double value)
{
    return (float)fmin(fmax(value, 0), 255);
}

/* Saturation about the pixel's own grey, contrast about mid grey, then brightness. */
static void shift_colour(const Placement *p, float pixel[3])
{
    double grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
    for (int c = 0; c < 3; c++) {
        double value = grey + (pixel[c] - grey) * p->saturation;
        value = 127.5 + (value - 127.5) * p->contrast;
        pixel[c] = clamp_byte(value * p->brightness);
    }
}

/* Shrinking by a third or more would alias with one sample a pixel, so it takes one of each pixel of the source. */
static void sample_pixel(const Placement *p, const uint8_t *rgb, int height, int width, int y, int x, float pixel[3])
{
    int taps = p->scale < 0.75 ? (int)ceil(1 / p->scale) : 1;
    for (int c = 0; c < 3; c++) {
        float sum = 0;
        for (int t = 0; t < taps * taps; t++) {
            double sy = (t / taps + 0.5) / taps - 0.5, sx = (t % taps + 0.5) / taps - 0.5;
            sum += sample_channel(rgb, height, width, source_position(y, p->offset_y + sy, p->scale),
                                  source_position(x, p->offset_x + sx, p->scale), c);
        }
        pixel[c] = sum / (float)(taps * taps);
    }
}

void augment_crop(const AugmentConfig *config, Random random, const uint8_t *rgb, const uint16_t *source_map,
                  int source_height, int source_width, float *image, uint16_t *map)
{
    Placement p = draw_placement(config, &random, source_height, source_width);
    for (int y = 0; y < config->height; y++) {
        for (int x = 0; x < config->width; x++) {
            int to = p.mirrored ? config->width - 1 - x : x;
            int64_t cell = (int64_t)y * config->width + to;
            long row = lround(source_position(y, p.offset_y, p.scale));
            long column = lround(source_position(x, p.offset_x, p.scale));
            bool inside = row >= 0 && row < source_height && column >= 0 && column < source_width;
            map[cell] = inside ? source_map[row * source_width + column] : 0;
            float pixel[3] = {127.5f, 127.5f, 127.5f};
            if (inside) {
                sample_pixel(&p, rgb, source_height, source_width, y, x, pixel);
                if (config->colour > 0) shift_colour(&p, pixel);
            }
            for (int c = 0; c < 3; c++) image[cell * 3 + c] = pixel[c] / 127.5f - 1.0f;
        }
    }
}

static int round_to_32(double side)
{
    int rounded = (int)lround(side / 32) * 32;
    return rounded < 32 ? 32 : rounded;
}

void augment_inference_size(int height, int width, int long_side, int *out_height, int *out_width)
{
    int longer = height > width ? height : width;
    double scale = long_side > 0 ? (double)long_side / longer : 1;
    *out_height = round_to_32(height * scale);
    *out_width = round_to_32(width * scale);
}

void augment_normalize(const uint8_t *rgb, int64_t pixels, float *image)
{
    for (int64_t i = 0; i < pixels * 3; i++) image[i] = (float)rgb[i] / 127.5f - 1.0f;
}
