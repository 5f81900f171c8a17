/* parity DIR: every parity file of DIR, one line each; exits 1 where any fails. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "tests/models/parity_file.h"

static int is_parity_file(const struct dirent *entry)
{
    return parity_check_for(entry->d_name) != NULL;
}

/* Prints the file's line; whether it passes. */
static bool run_file(const char *directory, const char *name)
{
    char *path = memory_format("%s/%s", directory, name);
    if (path == NULL) return false;
    ParityResult result = {0};
    Status status = parity_check_for(name)(path, &result);
    memory_free(path);
    if (status != OK) {
        printf("%-34s FAIL  %s\n", name, status_message(status));
        status_free(status);
        return false;
    }
    printf("%-34s %s  outputs %.1e  gradients %.1e  worst: %s\n", name, parity_passes(&result) ? "PASS" : "FAIL",
           result.worst_output, result.worst_gradient, result.worst_name);
    fflush(stdout);
    return parity_passes(&result);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: parity DIR\n");
        return 2;
    }
    struct dirent **entries;
    int count = scandir(argv[1], &entries, is_parity_file, alphasort);
    if (count < 0) {
        perror(argv[1]);
        return 2;
    }
    int failed = count == 0;
    if (count == 0) printf("%s: no parity file\n", argv[1]);
    for (int i = 0; i < count; i++) {
        failed += !run_file(argv[1], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("parity: %d of %d files pass (limits: outputs %.0e, gradients %.0e)\n", count - failed < 0 ? 0 : count - failed,
           count, PARITY_OUTPUT_LIMIT, PARITY_GRADIENT_LIMIT);
    return failed != 0;
}
