/* Looks at a work directory as another program would: by its files alone. */
#ifndef TESTS_COMMANDS_ARTIFACTS_H
#define TESTS_COMMANDS_ARTIFACTS_H

#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "tests/commands/e2e.h"

#define MAX_ARTIFACTS 64

typedef struct Artifacts {
    int count;
    const char *directories[MAX_ARTIFACTS];
} Artifacts;

/* Finished artifacts of a stage ("" for all), in the order of their keys. Hidden names are somebody's temporaries and
 * fail the test: a finished command leaves none. */
static inline Artifacts find_artifacts(const char *work, const char *stage)
{
    Artifacts found = {0};
    const char *root = text("%s/artifacts", work);
    char **names;
    size_t count;
    if (!is_directory(root)) return found;
    CHECK_OK(directory_list(root, &names, &count));
    for (size_t i = 0; i < count; i++) {
        const char *directory = text("%s/%s", root, names[i]), *own;
        if (names[i][0] == '.') TEST_FAIL("left over: %s", directory);
        Json *manifest;
        CHECK_OK(json_read_file(text("%s/%s", directory, MANIFEST_NAME), &manifest));
        CHECK_OK(json_get_string(manifest, "stage", directory, &own));
        CHECK(found.count < MAX_ARTIFACTS);
        if (*stage == '\0' || strcmp(stage, own) == 0) found.directories[found.count++] = directory;
        json_destroy(manifest);
    }
    names_free(names, count);
    return found;
}

static inline int artifact_count(const char *work, const char *stage) { return find_artifacts(work, stage).count; }

/* The only artifact of that stage. */
static inline const char *only_artifact(const char *work, const char *stage)
{
    Artifacts found = find_artifacts(work, stage);
    if (found.count != 1) TEST_FAIL("%s has %d artifacts of stage %s, not 1", work, found.count, stage);
    return found.directories[0];
}

/* tree_text of an artifact without its manifest, which tells the attempt and the keys of inputs besides. */
static inline const char *artifact_text(const char *directory)
{
    Text out = {0};
    const char *name = MANIFEST_NAME " ";
    for (const char *line = tree_text(directory, false), *end; *line != '\0'; line = end) {
        end = strchr(line, '\n') + 1;
        if (strncmp(line, name, strlen(name)) != 0) text_append_bytes(&out, line, (size_t)(end - line));
    }
    const char *copy = text("%s", text_string(&out));
    text_free(&out);
    return copy;
}

/* Every artifact passes its own manifest, checksums included. */
static inline void check_artifacts_whole(const char *work)
{
    Artifacts all = find_artifacts(work, "");
    for (int i = 0; i < all.count; i++) CHECK_OK(artifact_check(work, path_name(all.directories[i]), true));
}

/* No sanitizer spoke in a job: its exit code is not looked at where its artifact is there. */
static inline void check_logs_clean(const char *work)
{
    const char *root = text("%s/runs", work);
    if (!is_directory(root)) return;
    for (const char *line = tree_text(root, false); *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *path = text("%s/%.*s", root, (int)strcspn(line, " "), line);
        if (strcmp(path_name(path), LOG_NAME) != 0) continue;
        const char *log = read_text(path);
        if (strstr(log, "Sanitizer") != NULL || strstr(log, "runtime error:") != NULL) TEST_FAIL("%s:\n%s", path, log);
    }
}

/* No temporary of an interrupted write anywhere below artifacts/. */
static inline void check_no_leftovers(const char *work)
{
    check_logs_clean(work);
    const char *root = text("%s/artifacts", work);
    find_artifacts(work, "");
    if (!is_directory(root)) return;
    const char *tree = tree_text(root, false);
    for (const char *line = tree; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t name = strcspn(line, " ");
        if (memmem(line, name, "/.", 2) != NULL || memmem(line, name, ".tmp", 4) != NULL)
            TEST_FAIL("left over: %.*s", (int)name, line);
    }
}

/* Two work directories hold the same artifacts: same keys, same bytes. Manifests may differ in the attempt that made
 * them, and in nothing that artifact_text sees. */
static inline void check_same_artifacts(const char *work_a, const char *work_b)
{
    Artifacts a = find_artifacts(work_a, ""), b = find_artifacts(work_b, "");
    CHECK_INT(a.count, b.count);
    CHECK(a.count > 0);
    for (int i = 0; i < a.count; i++) {
        CHECK_STRING(path_name(a.directories[i]), path_name(b.directories[i]));
        check_same_lines(a.directories[i], artifact_text(a.directories[i]), artifact_text(b.directories[i]));
    }
}

static inline int attempt_count(const char *work)
{
    return count_files(text("%s/runs", work), "/events.jsonl");
}

#endif
