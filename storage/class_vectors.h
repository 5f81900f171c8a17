/* Semantic vectors of classes. Reads CSV (`name,v1,...`), whitespace text
 * (`name v1 ...`, word2vec text with or without its "count dim" first line,
 * underscores for blanks), and refuses NaN, infinities and ragged rows. */
#ifndef STORAGE_CLASS_VECTORS_H
#define STORAGE_CLASS_VECTORS_H

#include "framework/status.h"
#include "storage/dataset.h"

/* A row per class of `table`, in its order: [count, dim], freed by memory_free.
 * Names match regardless of case, '-', '_' and blanks. A class without a
 * vector is an error that names it. */
Status class_vectors_read(const char *path, const ClassTable *table, float **vectors, int *dim);

#endif
