/* Which class a label PNG's value is. A class file has a line per class,
 *
 *     VALUE: NAME            or VALUE NAME, perhaps with a tab and "thing" or "stuff"
 *
 * with '#' comments, as COCO-Stuff's labels.txt; ADE20K's objectInfo150.txt
 * (columns between tabs, the first line names them) is read too. */
#ifndef STORAGE_LABEL_CLASSES_H
#define STORAGE_LABEL_CLASSES_H

#include "storage/coco.h"

#define LABEL_VALUES 65536

typedef struct LabelClasses {
    ClassTable classes;   /* ids are the file's values */
    int32_t *class_of;    /* [LABEL_VALUES] of a pixel's value; -1 void */
} LabelClasses;

/* `path` NULL: the format's own. `instances`: whether classes are things unless the file says otherwise; otherwise
 * they are stuff, for a region of a class is all that labels tell. */
Status label_classes_read(const char *path, ImportFormat format, bool instances, LabelClasses *classes);
void label_classes_clear(LabelClasses *classes);

#endif
