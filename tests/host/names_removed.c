/* names_removed.c - somebody removes the names under a running host: it goes on serving who is attached, and its end
 * removes nothing that belongs to somebody else by then. */
#include "host_test.h"

int main(void) {
    test_begin("names_removed", 60);
    char instance[64];
    test_host first, second;
    guide_client old, fresh;
    test_instance(instance, "removed");
    host_start(&first, instance, "-n", "8", NULL);
    attach(&old, &first);
    check_serves(&old);

    test_step("removed: the host goes on");
    objects_remove(instance);
    for (int i = 0; i < 5; i++)
        check_serves(&old);

    test_step("a new host takes the names");
    host_start(&second, instance, "-n", "8", NULL);
    attach(&fresh, &second);
    check_serves(&fresh);
    check_serves(&old);
    CHECK_SAY(first.running && !host_ended(&first, 0), "the first host ended");

    test_step("the first one ends and leaves the names alone");
    ino_t inodes[N_OBJECTS];
    for (int i = 0; i < N_OBJECTS; i++)
        inodes[i] = object_inode(instance, i);
    guide_shutdown_at_once(&old);
    host_expect_exit(&first, 0, SOON_MS);
    for (int i = 0; i < N_OBJECTS; i++)
        CHECK_INT(object_inode(instance, i), ==, inodes[i]);
    check_serves(&fresh);
    guide_close(&old);

    test_step("the same with SIGTERM and with only some names gone");
    for (int object = 0; object < N_OBJECTS; object++) {
        char path[256];
        unlink(object_path(path, instance, object));
        check_serves(&fresh);
    }
    guide_close(&fresh);
    kill(second.pid, SIGTERM);
    host_expect_exit(&second, 0, SOON_MS);
    CHECK_INT(objects_count(instance), ==, 0);
    return test_end();
}
