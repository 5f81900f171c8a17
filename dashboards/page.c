#include "dashboards/page.h"

/* PAGE_FILE is set by the Makefile, which also knows that this file depends on it. */
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
__asm__(".section .rodata\n"
        ".global zeroth_page, zeroth_page_end\n"
        "zeroth_page:\n"
        ".incbin \"" TEXT(PAGE_FILE) "\"\n"
        "zeroth_page_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char zeroth_page[], zeroth_page_end[];

Page page_get(void)
{
    return (Page){.data = zeroth_page, .bytes = (size_t)(zeroth_page_end - zeroth_page)};
}
