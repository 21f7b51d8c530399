/* names_of_others.c - objects that belong to another user: code 8, one line, objects untouched; in both directions
 * (root could open them, but must not adopt them either). Needs root to become somebody else. */
#include "host_test.h"

#include <fcntl.h>
#include <sys/stat.h>

static void check_foreign(const char *instance, test_host_setup *setup, const char *what) {
    test_host host;
    struct stat before, after;
    char path[256];
    test_step("%s", what);
    for (int object = 0; object < N_OBJECTS; object++) {
        objects_remove(instance);
        int fd = open(object_path(path, instance, object), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_INT(ftruncate(fd, object == OBJECT_SEGMENT ? 45056 : (off_t)sizeof(sem_t)), ==, 0);
        CHECK(fchown(fd, setup->before_exec ? 0 : 65534, 0) == 0);
        CHECK(fstat(fd, &before) == 0);
        close(fd);
        host_start_with(&host, instance, setup, (const char *const[]){"-n", "5", NULL});
        host_expect_exit(&host, 8, SOON_MS);
        char *err = said(&host);
        CHECK_SAY(count_of(err, "chatbot: error: ") == 1, "not exactly one error line: %s", err);
        CHECK_SAY(strstr(err, instance) != NULL, "the message does not name the object: %s", err);
        printf("  %s", err);
        free(err);
        CHECK(stat(path, &after) == 0);
        CHECK_INT(after.st_ino, ==, before.st_ino);
        CHECK_INT(after.st_uid, ==, before.st_uid);
        CHECK_INT(objects_count(instance), ==, 1);
    }
    objects_remove(instance);
}

int main(void) {
    test_begin("names_of_others", 60);
    char instance[64];
    if (geteuid() != 0)
        test_skip("only root can become another user");
    test_instance(instance, "others");
    test_host_setup as_root = {0}, as_nobody = {.before_exec = to_nobody};
    check_foreign(instance, &as_root, "objects of nobody, host of root");
    if (nobody_runs_host(instance))
        check_foreign(instance, &as_nobody, "objects of root, host of nobody");
    else
        printf("  nobody may not run the host here: one direction only\n");
    return test_end();
}
