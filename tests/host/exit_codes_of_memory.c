/* exit_codes_of_memory.c - /dev/shm full or read-only: code 6, one clear line, nothing left, at whichever of the five
 * objects it happens; never a bus error later. Needs a private mount namespace (root). */
#include "host_test.h"

#include <fcntl.h>
#include <sys/mount.h>

#define SMALLEST "-n", "5", "--streams", "1", "--request-size", "4K", "--response-size", "4K"

static void fill_up(const char *path, long n_bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(posix_fallocate(fd, 0, n_bytes), ==, 0);
    close(fd);
}

int main(void) {
    test_begin("exit_codes_of_memory", 120);
    char instance[64];
    test_host host;
    guide_client client;
    test_instance(instance, "memory");
    if (!test_private_shm("mode=1777,size=1m"))
        test_skip("no private mount namespace without root");

    test_step("full but for n pages");
    /* 38 pages for the smallest segment (12 for classic block and hub, 16 for the client records, 10 for one stream), one for
     * each semaphore; directory entries are not counted. */
    for (int pages = 0; pages <= 43; pages++) {
        CHECK(umount("/dev/shm") == 0);
        CHECK(mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777,size=1m") == 0);
        fill_up("/dev/shm/ballast", (1 << 20) - 4096L * pages);
        host_start(&host, instance, SMALLEST, NULL);
        if (pages < 42) {
            check_failure(&host, 6, "/dev/shm");
            continue;
        }
        attach(&client, &host);
        /* Reserved at the start: with 42 pages it serves although nothing more can be had. */
        memset(client.block, 1, 40960);
        check_serves(&client);
        guide_close(&client);
        host_stop(&host);
    }

    test_step("no inode left for the n-th object");
    for (int inodes = 1; inodes <= 6; inodes++) {
        char options[64];
        snprintf(options, sizeof options, "mode=1777,size=1m,nr_inodes=%d", inodes);
        CHECK(umount("/dev/shm") == 0);
        CHECK(mount("tmpfs", "/dev/shm", "tmpfs", 0, options) == 0);
        host_start(&host, instance, SMALLEST, NULL);
        if (inodes < 6) { /* one is the folder's */
            check_failure(&host, 6, "/dev/shm");
            continue;
        }
        attach(&client, &host);
        check_serves(&client);
        guide_close(&client);
        host_stop(&host);
    }

    test_step("read-only");
    CHECK(mount(NULL, "/dev/shm", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    fails(instance, 6, "/dev/shm", (const char *const[]){"-n", "5", NULL});

    test_step("not there");
    CHECK(umount("/dev/shm") == 0);
    CHECK(mount("tmpfs", "/dev", "tmpfs", 0, "mode=0755") == 0);
    int null = open("/dev/null", O_RDWR | O_CREAT, 0666);
    close(null);
    host_start(&host, instance, NULL);
    check_failure(&host, 6, "/dev/shm");
    return test_end();
}
