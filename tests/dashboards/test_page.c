/* The dashboard's page in headless Chromium, by page.mjs: each view against the ledger of a real run. */
#include "dashboards/page.h"
#include "tests/dashboards/serving.h"

#define MODULES "dashboards/page/node_modules/playwright-core/package.json"

static const char *browser(void)
{
    const char *path = getenv("CHROMIUM");
    return path != NULL ? path : "/usr/bin/chromium";
}

static void need_browser(void)
{
    if (page_get().bytes == 0) SKIP("the dashboard's page was not built: npm is missing");
    if (access(browser(), X_OK) != 0) SKIP("no Chromium: apt-get install chromium");
    if (!file_exists(MODULES)) SKIP("no playwright-core: 'make page' fetches it");
    if (system("node --version >/dev/null 2>&1") != 0) SKIP("no node");
}

/* Runs a task of page.mjs; ends the test with its words where it finds a fault. */
static void run_page(const char *task, const char *address, const char *argument)
{
    const char *log = in_root(text("%s.log", task));
    const char *command = text("node tests/dashboards/page.mjs %s '%s' tiny '%s' >%s 2>&1", task, address, argument, log);
    int status = system(command);
    if (status != 0) TEST_FAIL("%s:\n%s", task, read_text(log));
}

typedef struct Dashboard {
    Child child;
    const char *address;
} Dashboard;

static Dashboard start_dashboard(const char *work)
{
    Dashboard dashboard = {.child = PROGRAM_START("dashboard", "--work", work, "--port", "0")};
    for (;;) { /* the program prints its address when it listens */
        siginfo_t info = {0};
        CHECK(waitid(P_PID, (id_t)dashboard.child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
        if (info.si_pid != 0) CHECK_CODE(program_end(dashboard.child), 0);
        const char *said = file_exists(dashboard.child.out) ? read_text(dashboard.child.out) : "";
        if (strchr(said, '\n') != NULL) {
            dashboard.address = text("%.*s", (int)strcspn(said, "\n"), said);
            return dashboard;
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static void stop_dashboard(Dashboard dashboard)
{
    CHECK(kill(dashboard.child.pid, SIGTERM) == 0);
    CHECK_CODE(program_end(dashboard.child), 0);
}

/* What `zeroth report` says, in a file. */
static const char *truth(void)
{
    Result result = PROGRAM("report", in_root("ran/study.yaml"), "--format", "json");
    CHECK_CODE(result, 0);
    const char *path = in_root("truth.json");
    write_text(path, result.out);
    return path;
}

static void test_views(void)
{
    need_browser();
    Dashboard dashboard = start_dashboard(ran_study());
    run_page("views", dashboard.address, truth());
    stop_dashboard(dashboard);
}

static void test_report_from_disk(void)
{
    need_browser();
    ran_study();
    Result result = PROGRAM("report", in_root("ran/study.yaml"), "--format", "html");
    CHECK_CODE(result, 0);
    const char *path = in_root("report.html");
    write_text(path, result.out);
    run_page("report", text("file://%s", path), truth());
}

static void test_live_update(void)
{
    need_browser();
    const char *root = in_root("live");
    make_scenes(text("%s/data", root), 24, 4, 0.25);
    const char *study = make_study(root, "sweep:\n  seed: [0, 1]\n"), *work = text("%s/work", root);
    CHECK_OK(directory_create(work));
    Dashboard dashboard = start_dashboard(work);
    run_page("live", dashboard.address, text("%s run %s train.steps=1500", program(), study));
    stop_dashboard(dashboard);
}

TEST_MAIN(TEST(test_views), TEST(test_report_from_disk), TEST(test_live_update))
