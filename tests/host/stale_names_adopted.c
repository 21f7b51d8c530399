/* stale_names_adopted.c - objects of hosts that died in whatever state never stand in the way of the next one:
 * killed at any moment of the start, by any instruction, and with only some of the objects made. */
#include "host_test.h"

int main(void) {
    test_begin("stale_names_adopted", 120);
    char instance[64];
    test_host host;
    guide_client client;
    test_instance(instance, "adopt");
    for (int i = 0; i < 60; i++) {
        host_start(&host, instance, "-n", "4", NULL);
        test_pause_ms(i * 0.4);
        host_kill(&host);
        guide_take_ready_of_dead(instance);
        if (i % 6 != 5)
            continue;
        test_step("after %d killed hosts, the last %.1f ms after its start, %d objects", i + 1, i * 0.4,
                  objects_count(instance));
        host_start(&host, instance, "-n", "4", NULL);
        attach(&client, &host);
        check_serves(&client);
        CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
        guide_close(&client);
        host_kill(&host);
        guide_take_ready_of_dead(instance);
    }
    host_start(&host, instance, NULL);
    attach(&client, &host);
    check_serves(&client);
    guide_close(&client);
    host_stop(&host);

    CHECK_INT(objects_count(instance), ==, 0);
    return test_end();
}
