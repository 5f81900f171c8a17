/* The server against what clients may do to it. */
#include <sys/resource.h>

#include "tests/dashboards/serving.h"

static Serving serving;

static void start(void)
{
    serving_start(&serving, &(ServerOptions){.work = ran_study()});
}

static const char *a_job(const char *stage)
{
    return path_name(find_artifacts(ran_study(), stage).directories[0]);
}

static void still_answers(void)
{
    CHECK_REPLY(ask(&serving, "/api/studies"), 200);
}

static void test_changes_nothing(void)
{
    static const char *const METHODS[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO"};
    static const char *const PATHS[] = {"/", "/api/studies", "/api/study?study=tiny", "/api/job", "/picture"};
    start();
    const char *before = tree_text(ran_study(), true);
    for (size_t m = 0; m < sizeof METHODS / sizeof METHODS[0]; m++)
        for (size_t p = 0; p < sizeof PATHS / sizeof PATHS[0]; p++) {
            Reply reply = ask_with(&serving, METHODS[m], PATHS[p], "Content-Length: 4\r\n");
            if (reply.code == 200 || strstr(reply.body, "tiny") != NULL)
                TEST_FAIL("%s %s: %d", METHODS[m], PATHS[p], reply.code);
        }
    CHECK_REPLY(ask_with(&serving, "POST", "/", ""), 405);
    CHECK_REPLY(ask_with(&serving, "HEAD", "/api/studies", ""), 200);
    CHECK_INT(ask_with(&serving, "HEAD", "/api/studies", "").bytes, 0);
    const char *key = a_job("evaluate");
    CHECK_REPLY(ask(&serving, text("/api/job?job=%s", key)), 200);
    CHECK_REPLY(ask(&serving, text("/api/relations?study=tiny&job=%s", key)), 200);
    serving_stop(&serving);
    check_same_lines("the work directory", before, tree_text(ran_study(), true));
}

static void test_paths_lead_nowhere(void)
{
    start();
    const char *key = a_job("evaluate"), *secret = in_root("secret");
    write_text(secret, "the secret of another directory");
    static const char *const NAMES[] = {"..%2f..%2f..%2f..%2fsecret", "../../../../secret", "%2e%2e/secret", "..%5csecret", "",
                                        ".png", "..png", "%2fetc%2fpasswd.png", "a%00.png", "000.png%00", "000.png/",
                                        "../pictures/000.png", "./000.png", "metrics.json", "artifact.json"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        Reply reply = ask(&serving, text("/picture?job=%s&name=%s", key, NAMES[i]));
        bool refused = reply.code >= 400 && reply.code < 500 && strstr(reply.body, "the secret") == NULL;
        /* libmicrohttpd ends an argument at an escaped NUL; what is left may be a picture's name, and then is one. */
        if (!refused && strcmp(NAMES[i], "000.png%00") != 0) TEST_FAIL("name=%s: %d", NAMES[i], reply.code);
    }
    static const char *const KEYS[] = {"..", "../../secret", "%2e%2e%2f%2e%2e", "0", "", "../artifacts", "................................",
                                       "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdeg"};
    static const char *const QUESTIONS[] = {"/api/job", "/api/log", "/api/pictures", "/api/classes", "/api/series"};
    for (size_t k = 0; k < sizeof KEYS / sizeof KEYS[0]; k++)
        for (size_t q = 0; q < sizeof QUESTIONS / sizeof QUESTIONS[0]; q++)
            CHECK_REPLY(ask(&serving, text("%s?job=%s", QUESTIONS[q], KEYS[k])), 400);
    static const char *const ATTEMPTS[] = {"..", "-1", "1/..", "0001/../../..", "99999999999999999999"};
    for (size_t i = 0; i < sizeof ATTEMPTS / sizeof ATTEMPTS[0]; i++)
        CHECK_REPLY(ask(&serving, text("/api/log?job=%s&attempt=%s", key, ATTEMPTS[i])), 400);
    static const char *const PATHS[] = {"/../../etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/../ledger.sqlite",
                                        "/ledger.sqlite", "/api", "/api/", "/api/study/", "/picture/000.png", "/API/STUDIES", "/studies/tiny"};
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) CHECK_REPLY(ask(&serving, PATHS[i]), 404);
    CHECK_REPLY(ask(&serving, "/api/study?study=../../secret"), 404);
    serving_stop(&serving);
}

static void test_links_out_are_refused(void)
{
    const char *work = in_root("linked");
    copy_tree(ran_study(), work, false);
    serving_start(&serving, &(ServerOptions){.work = work});
    const char *key = a_job("evaluate"), *secret = in_root("secret"), *elsewhere = in_root("elsewhere");
    write_text(secret, "the secret of another directory");
    CHECK_OK(directory_create(elsewhere));
    write_text(text("%s/000.png", elsewhere), "the secret of another directory");
    const char *picture = text("%s/artifacts/%s/pictures/link.png", work, key);
    CHECK(symlink(secret, picture) == 0);
    CHECK_REPLY(ask(&serving, text("/picture?job=%s&name=link.png", key)), 400);
    const char *log = text("%s/runs/%s/0001/" LOG_NAME, work, key);
    CHECK(unlink(log) == 0 && symlink(secret, log) == 0);
    Reply reply = ask(&serving, text("/api/log?job=%s", key));
    CHECK_REPLY(reply, 400);
    CHECK(strstr(reply.body, "the secret") == NULL);
    const char *pictures = text("%s/artifacts/%s/pictures", work, key);
    CHECK_OK(directory_remove(pictures));
    CHECK(symlink(elsewhere, pictures) == 0);
    CHECK_REPLY(ask(&serving, text("/picture?job=%s&name=000.png", key)), 400);
    CHECK_REPLY(ask(&serving, text("/api/pictures?job=%s", key)), 400);
    const char *metrics = text("%s/artifacts/%s/" METRICS_NAME, work, key);
    CHECK(unlink(metrics) == 0 && mkfifo(metrics, 0600) == 0); /* nothing hangs on it */
    CHECK_REPLY(ask(&serving, text("/api/classes?job=%s", key)), 400);
    serving_stop(&serving);
}

static void test_names_and_tokens(void)
{
    start();
    static const char *const GOOD[] = {"localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535", "[::1]:8765", "[::1]"};
    static const char *const BAD[] = {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "evil.example:127.0.0.1",
                                      "localhost:80@evil.example", "", "127.0.0.2", "::1", "[::1", "0"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        const char *request = text("GET /api/studies HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", GOOD[i]);
        CHECK_REPLY(ask_raw(&serving, request, strlen(request)), 200);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        const char *request = text("GET /api/studies HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", BAD[i]);
        Reply reply = ask_raw(&serving, request, strlen(request));
        if (reply.code < 400 || strstr(reply.body, "tiny") != NULL) TEST_FAIL("Host: %s: %d", BAD[i], reply.code);
    }
    const char *none = "GET /api/studies HTTP/1.0\r\n\r\n";
    CHECK(ask_raw(&serving, none, strlen(none)).code >= 400);
    CHECK_STRING(server_token(serving.server), "");
    serving_stop(&serving);

    serving_start(&serving, &(ServerOptions){.work = ran_study(), .token = true});
    const char *token = server_token(serving.server);
    CHECK_INT(strlen(token), 32);
    char *wrong = arena_copy_string(e2e_arena_, token);
    wrong[31] = wrong[31] == '0' ? '1' : '0';
    const char *cookie = text("zeroth-%d", server_port(serving.server));
    CHECK_REPLY(ask(&serving, "/"), 401);
    CHECK_REPLY(ask(&serving, "/api/studies"), 401);
    CHECK_REPLY(ask(&serving, text("/?token=%s", wrong)), 401);
    CHECK_REPLY(ask(&serving, text("/?token=%.31s", token)), 401);
    CHECK_REPLY(ask(&serving, text("/?token=%s0", token)), 401);
    CHECK_REPLY(ask(&serving, "/?token="), 401);
    CHECK_REPLY(ask_with(&serving, "GET", "/api/studies", text("Authorization: Bearer %s\r\n", wrong)), 401);
    CHECK_REPLY(ask_with(&serving, "GET", "/api/studies", text("Cookie: %s=%s\r\n", cookie, wrong)), 401);
    CHECK_REPLY(ask_with(&serving, "GET", "/api/studies", text("Authorization: Bearer %s\r\n", token)), 200);
    CHECK_REPLY(ask_with(&serving, "GET", "/api/studies", text("Cookie: a=b; %s=%s\r\n", cookie, token)), 200);
    Reply reply = ask(&serving, text("/?token=%s", token));
    CHECK_REPLY(reply, 303);
    CHECK(strstr(reply.head, text("Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict", cookie, token)) != NULL);
    CHECK(strstr(reply.head, "Location: /\r\n") != NULL);
    serving_stop(&serving);

    serving_start(&serving, &(ServerOptions){.work = ran_study(), .address = "0.0.0.0"}); /* beyond this machine: always */
    CHECK_REPLY(ask(&serving, "/api/studies"), 401);
    serving_stop(&serving);
}

static void test_bad_arguments(void)
{
    start();
    const char *key = a_job("backbone");
    CHECK_REPLY(ask(&serving, "/api/study"), 400);
    CHECK_REPLY(ask(&serving, "/api/study?study=nobody"), 404);
    CHECK_REPLY(ask(&serving, "/api/study?study=tiny&since=-1"), 400);
    CHECK_REPLY(ask(&serving, "/api/study?study=tiny&since=x"), 400);
    CHECK_REPLY(ask(&serving, "/api/table?study=tiny&baseline=nobody"), 404);
    CHECK_REPLY(ask(&serving, "/api/table?study=tiny&metrics=nothing,,,"), 200);
    CHECK_REPLY(ask(&serving, text("/api/curve?job=%s", key)), 400);
    CHECK_REPLY(ask(&serving, text("/api/curve?job=%s&metric=loss&points=0", key)), 400);
    CHECK_REPLY(ask(&serving, text("/api/curve?job=%s&metric=loss&points=999999999", key)), 400);
    CHECK_REPLY(ask(&serving, text("/api/curve?job=%s&metric=%0200d", key, 1)), 400);
    CHECK_REPLY(ask(&serving, text("/api/relations?study=tiny&job=%s", key)), 400);
    CHECK_REPLY(ask(&serving, "/api/log?job=00000000000000000000000000000000"), 404);
    serving_stop(&serving);
}

/* Bytes that are no request, or half of one, or far too much of one. */
static void test_malformed_requests(void)
{
    serving_start(&serving, &(ServerOptions){.work = ran_study(), .silence = 1});
    static const char *const RAW[] = {
        "", "\r\n\r\n", "GET\r\n\r\n", "GET / \r\n\r\n", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET /api/study?study=%zz%0 HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /?&&&=&=&a==&% HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", ": : :\r\n: :\r\n\r\n"};
    for (size_t i = 0; i < sizeof RAW / sizeof RAW[0]; i++) ask_raw(&serving, RAW[i], strlen(RAW[i]));
    still_answers();
    size_t big = 4u << 20;
    char *bytes = memory_alloc(big);
    CHECK(bytes != NULL);
    memset(bytes, 'a', big);
    memcpy(bytes, "GET /", 5); /* an address of 4 MiB */
    Reply reply = ask_raw(&serving, bytes, big);
    CHECK(reply.code == 0 || reply.code >= 400);
    const char *head = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
    memcpy(bytes, head, strlen(head)); /* a header of 4 MiB */
    reply = ask_raw(&serving, bytes, big);
    CHECK(reply.code == 0 || reply.code >= 400);
    uint32_t random = 12345; /* noise, of which every tenth byte ends a line */
    for (int round = 0; round < 200; round++) {
        size_t count = 1 + random % 3000;
        for (size_t i = 0; i < count; i++) {
            random = random * 1664525u + 1013904223u;
            bytes[i] = (random >> 24) % 10 == 0 ? '\n' : (char)(random >> 16);
        }
        if (round % 2 == 0) memcpy(bytes, "GET /api/", 9);
        ask_raw(&serving, bytes, count + 9);
    }
    memory_free(bytes);
    still_answers();
    serving_stop(&serving);
}

/* A thousand at a time, more than may be connected: all are answered, some later. */
static void test_thousand_clients(void)
{
    enum { CLIENTS = 1000 };
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < 3 * CLIENTS) SKIP("this machine allows too few open files for 1000 clients");
    serving_start(&serving, &(ServerOptions){.work = ran_study(), .connections = 300});
    struct pollfd *clients = memory_alloc_zero(CLIENTS, sizeof *clients);
    size_t *bytes = memory_alloc_zero(CLIENTS, sizeof *bytes);
    CHECK(clients != NULL && bytes != NULL);
    const char *request = text("GET /api/study?study=tiny HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n", server_port(serving.server));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct pollfd){.fd = client_connect(&serving), .events = POLLIN};
        client_send(clients[i].fd, request, strlen(request));
    }
    int open = CLIENTS, sound = 0;
    while (open > 0) {
        int ready = poll(clients, CLIENTS, SECONDS_AT_MOST * 1000);
        if (ready <= 0) TEST_FAIL("%d of %d clients got no answer", open, CLIENTS);
        for (int i = 0; i < CLIENTS; i++) {
            char block[65536];
            if (clients[i].fd < 0 || clients[i].revents == 0) continue;
            ssize_t got = recv(clients[i].fd, block, sizeof block, 0);
            if (got > 0 && bytes[i] == 0) sound += strncmp(block, "HTTP/1.1 200", 12) == 0;
            if (got > 0) bytes[i] += (size_t)got;
            if (got > 0) continue;
            close(clients[i].fd);
            clients[i].fd = -1;
            open--;
        }
    }
    CHECK_INT(sound, CLIENTS);
    for (int i = 1; i < CLIENTS; i++) CHECK(bytes[i] > 500);
    memory_free(clients);
    memory_free(bytes);
    serving_stop(&serving);
}

/* Readers who take nothing, and senders of a byte now and then, are many more than there are places. */
static void test_slow_clients(void)
{
    enum { SLOW = 40, PLACES = 16 };
    const char *work = in_root("big");
    copy_tree(ran_study(), work, true);
    const char *key = a_job("evaluate"), *picture = text("%s/artifacts/%s/pictures/big.png", work, key);
    CHECK_OK(file_write(picture, "", 0));
    CHECK(truncate(picture, 64 << 20) == 0); /* more than any socket's buffer */
    serving_start(&serving, &(ServerOptions){.work = work, .connections = PLACES, .silence = 1, .patience = 1});
    int slow[SLOW];
    const char *request = text("GET /picture?job=%s&name=big.png HTTP/1.1\r\nHost: localhost\r\n\r\n", key);
    for (int i = 0; i < SLOW; i++) {
        slow[i] = client_connect(&serving);
        if (i % 2 == 0) client_send(slow[i], request, strlen(request)); /* and never reads */
        else client_send(slow[i], "GET / HT", 8);                       /* and never ends */
    }
    for (int round = 0; round < 6; round++) { /* the places become free for those who want an answer */
        for (int i = 1; i < SLOW; i += 2) client_send(slow[i], "T", 1);
        still_answers();
    }
    for (int i = 0; i < SLOW; i++) close(slow[i]);
    still_answers();
    serving_stop(&serving);
}

static void test_before_the_first_run(void)
{
    const char *work = in_root("fresh");
    CHECK_FAILS(server_start(&(ServerOptions){.work = work}, &serving.server), STATUS_NOT_FOUND, "fresh");
    CHECK_OK(directory_create(work));
    serving_start(&serving, &(ServerOptions){.work = work});
    Json *studies = ask_json(&serving, "/api/studies");
    CHECK_INT(json_member(studies, "studies")->count, 0);
    json_destroy(studies);
    CHECK_REPLY(ask(&serving, "/api/study?study=tiny"), 404);
    copy_file(text("%s/ledger.sqlite", ran_study()), text("%s/ledger.sqlite", work));
    for (bool found = false; !found;) { /* the server looks several times a second */
        studies = ask_json(&serving, "/api/studies");
        found = json_member(studies, "studies")->count == 1;
        json_destroy(studies);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    CHECK_REPLY(ask(&serving, "/api/study?study=tiny"), 200);
    write_text(text("%s/ledger.sqlite", work), "no ledger any more, but not yet gone");
    for (Reply reply = {.code = 200}; reply.code == 200;) reply = ask(&serving, "/api/study?study=tiny");
    serving_stop(&serving);
}

TEST_MAIN(TEST(test_changes_nothing), TEST(test_paths_lead_nowhere), TEST(test_links_out_are_refused), TEST(test_names_and_tokens),
          TEST(test_bad_arguments), TEST(test_malformed_requests), TEST(test_thousand_clients), TEST(test_slow_clients),
          TEST(test_before_the_first_run))
