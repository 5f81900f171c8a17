/* The page, one self-contained HTML file, as built from dashboards/page/ and
 * embedded into the program. */
#ifndef DASHBOARDS_PAGE_H
#define DASHBOARDS_PAGE_H

#include <stddef.h>

typedef struct Page {
    const char *data;
    size_t bytes; /* 0 where the program was built without npm */
} Page;
Page page_get(void);

#define PAGE_MISSING \
    "this program was built without its page: install nodejs and npm, then 'make page' and 'make', or use a release archive"

/* Where a report's data go in the page. */
#define PAGE_DATA_MARK "<!--zeroth-data-->"

#endif
