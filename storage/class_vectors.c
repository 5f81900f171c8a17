#include "storage/class_vectors.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/text.h"
#include "storage/class_table.h"

enum { MAX_DIM = 65536, MAX_LINE = 1 << 26 };

/* How well a row's name fits a class. Large files hold "car", "Car" and "CAR". */
typedef enum Fit { FIT_NONE, FIT_LOOSE, FIT_SAME_CASE, FIT_EXACT } Fit;

typedef struct Field { char *text; size_t bytes; bool quoted; } Field;

typedef struct Reader {
    const char *path;
    const ClassTable *table;
    FILE *file;
    char *line;            /* of getline: malloc's */
    size_t line_capacity;
    int64_t line_number;
    char delimiter;        /* ' ': any run of blanks */
    Field *fields;
    size_t field_count, field_capacity;
    int dim;               /* 0: not known yet */
    float *vectors;        /* [classes, dim] */
    Fit *fits;             /* of each class's row so far */
    int64_t *lines;        /* where it came from */
} Reader;

/* ---- lines and fields ---- */

/* The next line that isn't blank, without its end; false at the end of the file. */
static Status next_line(Reader *reader, bool *more)
{
    for (;;) {
        errno = 0;
        ssize_t bytes = getline(&reader->line, &reader->line_capacity, reader->file);
        if (bytes < 0 && ferror(reader->file)) return status_errno(errno, "read", reader->path);
        *more = bytes >= 0;
        if (!*more) return OK;
        reader->line_number++;
        if (strlen(reader->line) != (size_t)bytes)
            return status_error(STATUS_INVALID, "%s:%" PRId64 ": holds a NUL: not a text file", reader->path,
                                reader->line_number);
        if (bytes > MAX_LINE)
            return status_error(STATUS_INVALID, "%s:%" PRId64 ": line over 64 MiB", reader->path, reader->line_number);
        while (bytes > 0 && strchr(" \t\r\n", reader->line[bytes - 1]) != NULL) reader->line[--bytes] = '\0';
        if (reader->line_number == 1 && strncmp(reader->line, "\xef\xbb\xbf", 3) == 0)
            memmove(reader->line, reader->line + 3, (size_t)bytes - 2);
        if (reader->line[strspn(reader->line, " \t")] != '\0') return OK;
    }
}

static Status add_field(Reader *reader, char *text, size_t bytes, bool quoted)
{
    if (reader->field_count == reader->field_capacity) {
        size_t capacity = reader->field_capacity * 2 + 512;
        Field *larger = memory_resize(reader->fields, capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory(capacity * sizeof *larger, reader->path);
        reader->fields = larger;
        reader->field_capacity = capacity;
    }
    reader->fields[reader->field_count++] = (Field){text, bytes, quoted};
    return OK;
}

/* The place of the closing quote of a field that opens at `at`; NULL without one. "" is a quote of the text. */
static char *closing_quote(char *at)
{
    for (at++; *at != '\0'; at++) {
        if (*at == '"' && at[1] != '"') return at;
        if (*at == '"') at++;
    }
    return NULL;
}

/* "" to ", in place: for a field that is used once. */
static void halve_quotes(Field *field)
{
    size_t out = 0;
    for (size_t in = 0; in < field->bytes; in++) {
        if (field->text[in] == '"') in++;
        if (in < field->bytes) field->text[out++] = field->text[in];
    }
    field->bytes = out;
}

/* Cuts the line into fields and leaves it as it is, to be cut again. */
static Status split_line(Reader *reader, char delimiter)
{
    reader->field_count = 0;
    char *at = reader->line;
    for (;;) {
        at += strspn(at, " \t");
        if (*at == '\0' && delimiter == ' ') return OK;
        char *start = at;
        size_t bytes = 0;
        bool quoted = *at == '"';
        if (quoted) {
            at = closing_quote(start++);
            if (at == NULL)
                return status_error(STATUS_INVALID, "%s:%" PRId64 ": a quote isn't closed", reader->path,
                                    reader->line_number);
            bytes = (size_t)(at++ - start);
            at += strspn(at, " \t");
        } else {
            const char ends[] = {delimiter, delimiter == ' ' ? '\t' : '\0', '\0'};
            bytes = strcspn(at, ends);
            at += bytes;
            while (bytes > 0 && strchr(" \t", start[bytes - 1]) != NULL) bytes--;
        }
        TRY(add_field(reader, start, bytes, quoted));
        if (delimiter == ' ') continue;
        if (*at == '\0') return OK;
        if (*at != delimiter)
            return status_error(STATUS_INVALID, "%s:%" PRId64 ": text after a closing quote", reader->path,
                                reader->line_number);
        at++;
    }
}

/* Whether the field is a number, also one that isn't finite. */
static bool field_number(const Field *field, double *value)
{
    char text[64];
    if (field->quoted || field->bytes == 0 || field->bytes >= sizeof text) return false;
    memcpy(text, field->text, field->bytes);
    text[field->bytes] = '\0';
    return parse_real(text, value);
}

static bool numbers_from(const Reader *reader, size_t first)
{
    double value;
    for (size_t i = first; i < reader->field_count; i++)
        if (!field_number(&reader->fields[i], &value)) return false;
    return true;
}

/* How much of a field a message shows: a damaged file may have one of megabytes. */
static int shown(size_t bytes)
{
    return (int)(bytes < 80 ? bytes : 80);
}

static Status bad_number(const Reader *reader, const char *name, size_t name_bytes, const Field *field, double value,
                         bool is_number)
{
    const char *what = !is_number ? "is not a number" : isnan(value) ? "is not a number (NaN)" : "is not finite in float32";
    return status_error(STATUS_INVALID, "%s:%" PRId64 ": %s%.*s%s\"%.*s\" %s", reader->path, reader->line_number,
                        name_bytes > 0 ? "class " : "", shown(name_bytes), name, name_bytes > 0 ? ": " : "",
                        shown(field->bytes), field->text, what);
}

static Status parse_values(const Reader *reader, size_t first, size_t count, const char *name, size_t name_bytes,
                           float *values)
{
    for (size_t i = 0; i < count; i++) {
        const Field *field = &reader->fields[first + i];
        double value = 0;
        bool is_number = field_number(field, &value);
        if (!is_number || !(fabs(value) <= FLT_MAX)) return bad_number(reader, name, name_bytes, field, value, is_number);
        values[i] = (float)value;
    }
    return OK;
}

/* ---- named rows ---- */

static Fit fit_of(const char *class_name, const char *name, size_t bytes)
{
    size_t class_bytes = strlen(class_name);
    if (class_bytes == bytes && memcmp(class_name, name, bytes) == 0) return FIT_EXACT;
    if (!class_names_match(class_name, class_bytes, name, bytes)) return FIT_NONE;
    /* The same letters in the same case? They match, so only separators are between them. */
    size_t i = 0, j = 0;
    while (i < class_bytes && j < bytes) {
        if (strchr("-_ \t", class_name[i]) != NULL) i++;
        else if (strchr("-_ \t", name[j]) != NULL) j++;
        else if (class_name[i++] != name[j++]) return FIT_LOOSE;
    }
    return FIT_SAME_CASE;
}

static Status set_dim(Reader *reader, size_t dim)
{
    if (dim < 1 || dim > MAX_DIM)
        return status_error(STATUS_INVALID, "%s:%" PRId64 ": %zu numbers in a row; there must be 1 to %d", reader->path,
                            reader->line_number, dim, MAX_DIM);
    reader->dim = (int)dim;
    reader->vectors = memory_alloc_zero((size_t)reader->table->count * dim, sizeof *reader->vectors);
    return reader->vectors == NULL ? status_no_memory((size_t)reader->table->count * dim * 4, reader->path) : OK;
}

/* Numbers at the end of a row of blanks-separated fields, at least one field left for the name. */
static size_t trailing_numbers(const Reader *reader)
{
    double value;
    size_t count = 0;
    while (count + 1 < reader->field_count && field_number(&reader->fields[reader->field_count - 1 - count], &value))
        count++;
    return count;
}

static Status take_row(Reader *reader)
{
    size_t count = reader->field_count;
    if (reader->dim == 0) TRY(set_dim(reader, reader->delimiter == ' ' ? trailing_numbers(reader) : count - 1));
    size_t dim = (size_t)reader->dim, named = count > dim ? count - dim : 0;
    Field *first = &reader->fields[0];
    const Field *last = named > 0 ? &reader->fields[named - 1] : first;
    if (first->quoted) halve_quotes(first);
    /* A name of several words stands in the line as it was read; quotes stand around all of it. */
    size_t name_bytes = named > 1 ? (size_t)(last->text + last->bytes - first->text) : first->bytes;
    if (named == 0 || (named > 1 && reader->delimiter != ' '))
        return status_error(STATUS_INVALID, "%s:%" PRId64 ": class %.*s: %zu numbers where other rows have %zu",
                            reader->path, reader->line_number, shown(first->bytes), first->text, count - 1, dim);
    for (int c = 0; c < reader->table->count; c++) {
        const char *class_name = reader->table->entries[c].name;
        Fit fit = fit_of(class_name, first->text, name_bytes);
        if (fit == FIT_NONE || fit < reader->fits[c]) continue;
        if (fit == reader->fits[c])
            return status_error(STATUS_INVALID, "%s:%" PRId64 ": class %s has a vector already, in line %" PRId64,
                                reader->path, reader->line_number, class_name, reader->lines[c]);
        TRY(parse_values(reader, named, dim, class_name, strlen(class_name), reader->vectors + (size_t)c * dim));
        reader->fits[c] = fit;
        reader->lines[c] = reader->line_number;
    }
    return OK;
}

static Status take_rows(Reader *reader, bool more)
{
    while (more) {
        TRY(split_line(reader, reader->delimiter));
        TRY(take_row(reader));
        TRY(next_line(reader, &more));
    }
    for (int c = 0; c < reader->table->count; c++)
        if (reader->fits[c] == FIT_NONE)
            return status_error(STATUS_INVALID, "%s: no vector for class %s", reader->path,
                                reader->table->entries[c].name);
    return OK;
}

/* ---- matrices without names ---- */

static Status place_matrix(Reader *reader, const float *matrix, size_t rows, size_t columns)
{
    size_t classes = (size_t)reader->table->count;
    if (rows == classes && columns == classes)
        return status_error(STATUS_INVALID, "%s: has no names and as many rows as columns: it can't be told which are "
                            "the classes; put a name before each row", reader->path);
    if (rows != classes && columns != classes)
        return status_error(STATUS_INVALID, "%s: has no names, and neither its %zu rows nor its %zu columns are the %zu "
                            "classes", reader->path, rows, columns, classes);
    TRY(set_dim(reader, rows == classes ? columns : rows));
    size_t dim = (size_t)reader->dim;
    for (size_t c = 0; c < classes; c++)
        for (size_t d = 0; d < dim; d++)
            reader->vectors[c * dim + d] = rows == classes ? matrix[c * columns + d] : matrix[d * columns + c];
    return OK;
}

static Status take_matrix(Reader *reader, bool more)
{
    float *matrix = NULL;
    size_t rows = 0, capacity = 0, columns = reader->field_count;
    Status status = OK;
    while (more && status == OK) {
        status = split_line(reader, reader->delimiter);
        if (status == OK && reader->field_count != columns)
            status = status_error(STATUS_INVALID, "%s:%" PRId64 ": %zu numbers where other rows have %zu", reader->path,
                                  reader->line_number, reader->field_count, columns);
        if (status == OK && rows == MAX_DIM)
            status = status_error(STATUS_INVALID, "%s: over %d rows and no names", reader->path, MAX_DIM);
        if (status == OK && rows == capacity) {
            capacity = capacity * 2 + 64;
            float *larger = memory_resize(matrix, capacity * columns * sizeof *larger);
            if (larger == NULL) status = status_no_memory(capacity * columns * sizeof *larger, reader->path);
            else matrix = larger;
        }
        if (status == OK) status = parse_values(reader, 0, columns, "", 0, matrix + rows++ * columns);
        if (status == OK) status = next_line(reader, &more);
    }
    if (status == OK) status = place_matrix(reader, matrix, rows, columns);
    memory_free(matrix);
    return status;
}

/* ---- form of the file ---- */

static Status find_delimiter(Reader *reader)
{
    reader->delimiter = ' ';
    /* Text files of word vectors have "," among their words. */
    Status status = split_line(reader, ' ');
    if (status == OK && reader->field_count > 1 && numbers_from(reader, 1)) return OK;
    status_free(status);
    if (strchr(reader->line, ',') != NULL) reader->delimiter = ',';
    else if (strchr(reader->line, ';') != NULL) reader->delimiter = ';';
    return split_line(reader, reader->delimiter);
}

/* "COUNT DIM" of word2vec's text form, or a line of column titles. */
static Status skip_header(Reader *reader, bool *more)
{
    double count, dim;
    bool sizes = reader->delimiter == ' ' && reader->field_count == 2 && field_number(&reader->fields[0], &count) &&
                 field_number(&reader->fields[1], &dim) && count == floor(count) && dim == floor(dim) && count > 0 && dim > 0;
    bool titles = reader->field_count > 1;
    double value;
    for (size_t i = 1; titles && i < reader->field_count; i++) titles = !field_number(&reader->fields[i], &value);
    for (size_t i = 1; titles && i < reader->field_count; i++) titles = reader->fields[i].bytes > 0;
    if (!sizes && !titles) return OK;
    TRY(next_line(reader, more));
    if (!*more) return status_error(STATUS_INVALID, "%s: holds no vectors", reader->path);
    if (titles) return find_delimiter(reader);
    TRY(split_line(reader, ' '));
    /* Two numbers may also be the first row of a matrix; then the second line is as short. */
    if (reader->field_count == 2 && dim != 1) {
        rewind(reader->file);
        reader->line_number = 0;
        TRY(next_line(reader, more));
        return split_line(reader, ' ');
    }
    return set_dim(reader, (size_t)dim);
}

static Status read_all(Reader *reader)
{
    bool more;
    TRY(next_line(reader, &more));
    if (!more) return status_error(STATUS_INVALID, "%s: holds no vectors", reader->path);
    TRY(find_delimiter(reader));
    TRY(skip_header(reader, &more));
    return reader->dim == 0 && numbers_from(reader, 0) ? take_matrix(reader, more) : take_rows(reader, more);
}

Status class_vectors_read(const char *path, const ClassTable *table, float **vectors, int *dim)
{
    *vectors = NULL;
    *dim = 0;
    Reader reader = {.path = path, .table = table, .file = fopen(path, "re")};
    if (reader.file == NULL) return status_errno(errno, "open", path);
    reader.fits = memory_alloc_zero((size_t)table->count + 1, sizeof *reader.fits);
    reader.lines = memory_alloc_zero((size_t)table->count + 1, sizeof *reader.lines);
    Status status = reader.fits == NULL || reader.lines == NULL ? status_no_memory((size_t)table->count * 16, path)
                                                                : read_all(&reader);
    fclose(reader.file);
    free(reader.line);
    memory_free(reader.fields);
    memory_free(reader.fits);
    memory_free(reader.lines);
    if (status != OK) {
        memory_free(reader.vectors);
        return status;
    }
    *vectors = reader.vectors;
    *dim = reader.dim;
    return OK;
}
