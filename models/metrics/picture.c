#include "models/metrics/picture.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "models/metrics/picture_text.h"

/* Sizes in pixels. */
enum {
    MARGIN = 16, GAP = 14, CAPTION = 30, TITLE = 30, TEXT_SIZE = 13, TITLE_SIZE = 15,
    SWATCH = 18, LEGEND_ROW = 28, LEGEND_GAP = 22, LEGEND_TOP = 18, DEFAULT_SIDE = 320, HATCH = 12
};

static const uint8_t PAPER[3] = {255, 255, 255}, INK[3] = {34, 38, 46}, FAINT[3] = {112, 118, 128},
                     FRAME[3] = {198, 202, 208}, BORDER[3] = {16, 18, 22}, PALE[3] = {255, 255, 255},
                     STAR[3] = {214, 120, 0}, VOID_COLOR[3] = {58, 60, 66};

void picture_class_color(const ClassTable *classes, int class_index, uint8_t color[3])
{
    memcpy(color, classes->entries[class_index].color, 3);
    if (color[0] != 0 || color[1] != 0 || color[2] != 0)
        return;
    double hue = fmod(class_index * 0.618033988749895, 1.0) * 6.0; /* the golden section spreads any number of hues */
    double value = class_index % 3 == 0 ? 0.95 : class_index % 3 == 1 ? 0.75 : 0.55;
    for (int c = 0; c < 3; c++) {
        double k = fmod(5.0 - 2.0 * c + hue, 6.0);
        color[c] = (uint8_t)lrint(255.0 * value * (1.0 - 0.7 * fmax(0.0, fmin(fmin(k, 4.0 - k), 1.0))));
    }
}

static void fill(Image *image, int left, int top, int width, int height, const uint8_t color[3])
{
    for (int y = top; y < top + height; y++)
        for (int x = left; x < left + width; x++)
            picture_blend(image, x, y, color, 1.0F);
}

static void outline(Image *image, int left, int top, int width, int height, const uint8_t color[3])
{
    fill(image, left - 1, top - 1, width + 2, 1, color);
    fill(image, left - 1, top + height, width + 2, 1, color);
    fill(image, left - 1, top, 1, height, color);
    fill(image, left + width, top, 1, height, color);
}

/* How much of a pixel the diagonal lines of the hatching cover. */
static float hatch_share(int x, int y)
{
    float along = (float)((x + y) % HATCH) - 0.5F * HATCH;
    float share = 1.5F - fabsf(along);
    return share < 0.0F ? 0.0F : share > 1.0F ? 1.0F : share;
}

/* Hatching in white, or in dark where the colour is too light for that. */
static void hatch(Image *image, int left, int top, int x, int y, const uint8_t color[3])
{
    bool light = 0.299F * (float)color[0] + 0.587F * (float)color[1] + 0.114F * (float)color[2] > 150.0F;
    picture_blend(image, left + x, top + y, light ? BORDER : PALE, (light ? 0.5F : 0.65F) * hatch_share(x, y));
}

/* A star of five points, for unseen classes. */
static void draw_star(Image *image, float center_x, float center_y, float radius, const uint8_t color[3])
{
    const float pi = 3.14159265F;
    for (int y = (int)(center_y - radius) - 1; y <= (int)(center_y + radius) + 1; y++)
        for (int x = (int)(center_x - radius) - 1; x <= (int)(center_x + radius) + 1; x++) {
            float dx = (float)x + 0.5F - center_x, dy = (float)y + 0.5F - center_y;
            float sector = fmodf(atan2f(dx, -dy) + 2.0F * pi, 0.4F * pi);
            sector = fabsf(sector > 0.2F * pi ? sector - 0.4F * pi : sector);
            /* edge from a point (radius, 0) to an inner corner at 36 degrees */
            float px = hypotf(dx, dy) * cosf(sector), py = hypotf(dx, dy) * sinf(sector);
            float inner = 0.42F * radius, bx = inner * cosf(0.2F * pi) - radius, by = inner * sinf(0.2F * pi);
            float distance = ((px - radius) * by - py * bx) / hypotf(bx, by);
            picture_blend(image, x, y, color, 0.5F - distance);
        }
}

/* Places of segments of a map by id, for drawing. */
static const PanopticSegment *segment_at(const PanopticMap *map, int64_t pixel)
{
    int32_t id = map->ids[pixel];
    for (int i = 0; i < map->segment_count && id != 0; i++)
        if (map->segments[i].id == id)
            return &map->segments[i];
    return NULL;
}

static void draw_image(Image *picture, const PictureOptions *options, int scale, int left, int top)
{
    for (int y = 0; y < options->height * scale; y++)
        for (int x = 0; x < options->width * scale; x++) {
            size_t from = (size_t)(y / scale) * (size_t)options->width + (size_t)(x / scale);
            picture_blend(picture, left + x, top + y, options->rgb + 3 * from, 1.0F);
        }
}

/* The colour of a segment's pixel, with the image showing through as light and dark. */
static void shade(const PictureOptions *options, const uint8_t color[3], size_t pixel, uint8_t out[3])
{
    float light = 0.5F;
    if (options->rgb != NULL) {
        const uint8_t *rgb = options->rgb + 3 * pixel;
        light = (0.299F * (float)rgb[0] + 0.587F * (float)rgb[1] + 0.114F * (float)rgb[2]) / 255.0F;
    }
    for (int c = 0; c < 3; c++) {
        float value = (float)color[c] * (0.82F + 0.3F * light) + 26.0F * (light - 0.5F);
        out[c] = (uint8_t)(value < 0.0F ? 0.0F : value > 255.0F ? 255.0F : value);
    }
}

/* Whether a neighbour of this magnified pixel is of another segment. */
static bool at_border(const PanopticMap *map, int scale, int x, int y)
{
    static const int steps[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    int32_t own = map->ids[(int64_t)(y / scale) * map->width + x / scale];
    for (int i = 0; i < 4; i++) {
        int nx = x + steps[i][0], ny = y + steps[i][1];
        if (nx < 0 || ny < 0 || nx >= map->width * scale || ny >= map->height * scale)
            continue;
        if (map->ids[(int64_t)(ny / scale) * map->width + nx / scale] != own)
            return true;
    }
    return false;
}

static void draw_map(Image *picture, const PictureOptions *options, const PanopticMap *map, int scale, int left, int top)
{
    for (int row = 0; row < map->height; row++)
        for (int column = 0; column < map->width; column++) {
            int64_t pixel = (int64_t)row * map->width + column;
            const PanopticSegment *segment = segment_at(map, pixel);
            uint8_t color[3], shaded[3];
            memcpy(color, VOID_COLOR, 3);
            bool unseen = segment != NULL && options->classes->entries[segment->class_index].is_unseen;
            if (segment != NULL)
                picture_class_color(options->classes, segment->class_index, color);
            shade(options, color, (size_t)pixel, shaded);
            for (int y = row * scale; y < (row + 1) * scale; y++)
                for (int x = column * scale; x < (column + 1) * scale; x++) {
                    picture_blend(picture, left + x, top + y, shaded, 1.0F);
                    if (unseen)
                        hatch(picture, left, top, x, y, color);
                    if (at_border(map, scale, x, y))
                        picture_blend(picture, left + x, top + y, BORDER, 0.85F);
                }
        }
}

/* The legend: which classes occur, and how their entries fill lines of `width` pixels. */
typedef struct Legend {
    bool *shown;        /* [classes] */
    bool has_unseen, has_void;
    int columns, column_width, rows, entries;
} Legend;

static void collect(const PictureOptions *options, const PanopticMap *map, Legend *legend)
{
    if (map == NULL)
        return;
    for (int i = 0; i < map->segment_count; i++) {
        int c = map->segments[i].class_index;
        legend->shown[c] = true;
        legend->has_unseen |= options->classes->entries[c].is_unseen;
    }
    for (int64_t i = 0; i < (int64_t)map->height * map->width && !legend->has_void; i++)
        legend->has_void = segment_at(map, i) == NULL;
}

static Status legend_create(const PictureOptions *options, int width, Legend *legend)
{
    *legend = (Legend){.shown = memory_alloc_zero((size_t)options->classes->count + 1, sizeof(bool))};
    if (legend->shown == NULL)
        return status_no_memory((size_t)options->classes->count, "a legend");
    collect(options, options->truth, legend);
    collect(options, options->prediction, legend);
    int widest = picture_text(NULL, 0, 0, TEXT_SIZE, INK, "unlabelled");
    for (int c = 0; c < options->classes->count; c++) {
        if (!legend->shown[c])
            continue;
        int text = picture_text(NULL, 0, 0, TEXT_SIZE, INK, options->classes->entries[c].name);
        text += options->classes->entries[c].is_unseen ? SWATCH + 4 : 0;
        widest = text > widest ? text : widest;
        legend->entries++;
    }
    legend->entries += legend->has_void ? 1 : 0;
    legend->column_width = SWATCH + 8 + widest + LEGEND_GAP;
    legend->columns = (width + LEGEND_GAP) / legend->column_width;
    legend->columns = legend->columns < 1 ? 1 : legend->columns;
    legend->rows = (legend->entries + legend->columns - 1) / legend->columns;
    return OK;
}

static int legend_height(const Legend *legend)
{
    return LEGEND_TOP + (legend->rows + (legend->has_unseen ? 1 : 0)) * LEGEND_ROW;
}

static void draw_entry(Image *picture, int left, int top, const uint8_t color[3], const char *name, bool unseen)
{
    fill(picture, left, top, SWATCH, SWATCH, color);
    for (int y = 0; y < SWATCH && unseen; y++)
        for (int x = 0; x < SWATCH; x++)
            hatch(picture, left, top, x, y, color);
    outline(picture, left, top, SWATCH, SWATCH, BORDER);
    int text = left + SWATCH + 8, base = top + (SWATCH + TEXT_SIZE) / 2;
    text += picture_text(picture, text, base, TEXT_SIZE, INK, name);
    if (unseen)
        draw_star(picture, (float)text + 8.0F, (float)top + 0.5F * SWATCH, 7.0F, STAR);
}

static void draw_legend(Image *picture, const PictureOptions *options, const Legend *legend, int top)
{
    int place = 0;
    for (int c = 0; c <= options->classes->count; c++) {
        bool is_void = c == options->classes->count;
        if (is_void ? !legend->has_void : !legend->shown[c])
            continue;
        int left = MARGIN + place % legend->columns * legend->column_width + 1;
        int row = top + LEGEND_TOP + place / legend->columns * LEGEND_ROW;
        place++;
        uint8_t color[3];
        memcpy(color, VOID_COLOR, 3);
        if (!is_void)
            picture_class_color(options->classes, c, color);
        draw_entry(picture, left, row, color, is_void ? "unlabelled" : options->classes->entries[c].name,
                   !is_void && options->classes->entries[c].is_unseen);
    }
    if (legend->has_unseen) {
        int row = top + LEGEND_TOP + legend->rows * LEGEND_ROW, base = row + (SWATCH + TEXT_SIZE) / 2;
        draw_star(picture, (float)MARGIN + 8.0F, (float)row + 0.5F * SWATCH, 7.0F, STAR);
        picture_text(picture, MARGIN + 22, base, TEXT_SIZE, FAINT,
                     "hatched: class unseen in training, known by its vector only");
    }
}

static Status check_options(const PictureOptions *options)
{
    const PanopticMap *maps[2] = {options->truth, options->prediction};
    if (options->rgb == NULL && options->truth == NULL && options->prediction == NULL)
        return status_error(STATUS_INVALID, "a picture of nothing: no image, truth or prediction");
    for (int i = 0; i < 2; i++)
        if (maps[i] != NULL && (maps[i]->height != options->height || maps[i]->width != options->width))
            return status_error(STATUS_INVALID, "a map of %d x %d pixels cannot stand beside an image of %d x %d",
                                maps[i]->height, maps[i]->width, options->height, options->width);
    return OK;
}

static Status resize_canvas(Image *picture, int height, int width)
{
    size_t bytes = (size_t)height * (size_t)width * 3;
    if (bytes > picture->capacity) {
        uint8_t *grown = memory_resize(picture->rgb, bytes);
        if (grown == NULL)
            return status_no_memory(bytes, "a picture");
        picture->rgb = grown;
        picture->capacity = bytes;
    }
    picture->height = height;
    picture->width = width;
    for (size_t i = 0; i < bytes; i += 3)
        memcpy(picture->rgb + i, PAPER, 3);
    return OK;
}

Status picture_compose(const PictureOptions *options, Image *picture)
{
    TRY(check_options(options));
    int longer = options->height > options->width ? options->height : options->width;
    int side = options->panel_side > 0 ? options->panel_side : DEFAULT_SIDE;
    int scale = side / longer > 1 ? side / longer : 1;
    int panel_width = options->width * scale, panel_height = options->height * scale;
    int panels = (options->rgb != NULL) + (options->truth != NULL) + (options->prediction != NULL);
    int inner = panels * panel_width + (panels - 1) * GAP;
    int title = options->title == NULL ? 0 : picture_text(NULL, 0, 0, TITLE_SIZE, INK, options->title);
    int width = (inner > title ? inner : title) + 2 * MARGIN;
    int panel_top = MARGIN + (title > 0 ? TITLE : 0) + CAPTION;
    Legend legend;
    TRY(legend_create(options, width - 2 * MARGIN, &legend));
    Status status = resize_canvas(picture, panel_top + panel_height + legend_height(&legend) + MARGIN / 2, width);
    if (status == OK) {
        if (title > 0)
            picture_text(picture, MARGIN, MARGIN + TITLE_SIZE, TITLE_SIZE, INK, options->title);
        int left = MARGIN;
        for (int i = 0; i < 3; i++) {
            static const char *const captions[3] = {"image", "truth", "prediction"};
            const PanopticMap *map = i == 1 ? options->truth : options->prediction;
            if (i == 0 ? options->rgb == NULL : map == NULL)
                continue;
            picture_text(picture, left, panel_top - 10, TEXT_SIZE, FAINT, captions[i]);
            if (i == 0)
                draw_image(picture, options, scale, left, panel_top);
            else
                draw_map(picture, options, map, scale, left, panel_top);
            outline(picture, left, panel_top, panel_width, panel_height, FRAME);
            left += panel_width + GAP;
        }
        draw_legend(picture, options, &legend, panel_top + panel_height);
    }
    memory_free(legend.shown);
    return status;
}

Status picture_stack(const Image *pictures, int count, Image *picture)
{
    int width = 1, height = 0;
    for (int i = 0; i < count; i++) {
        width = pictures[i].width > width ? pictures[i].width : width;
        height += pictures[i].height;
    }
    if (count < 1)
        return status_error(STATUS_INVALID, "a stack of no pictures");
    TRY(resize_canvas(picture, height, width));
    uint8_t *row = picture->rgb;
    for (int i = 0; i < count; i++)
        for (int y = 0; y < pictures[i].height; y++, row += 3 * (size_t)width)
            memcpy(row, pictures[i].rgb + 3 * (size_t)y * (size_t)pictures[i].width, 3 * (size_t)pictures[i].width);
    return OK;
}
