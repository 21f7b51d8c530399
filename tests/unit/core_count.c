/* core_count.c - how many cores and how much memory a host counts on where a control group allows it less than the machine has,
 * as a container with a quota does, in both versions of control groups. The files are made here, over those of the system. */
#include "../support/harness.h"

#include "platform/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The quota of the outermost group counts for all that lie in it. */
int main(void) {
    test_begin("core_count", 10);
    int all = plat_core_count();
    if (!test_private_shm("mode=1777") || mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) != 0)
        test_skip("a mount namespace of one's own is not allowed here");
    test_step("memory");
    uint64_t machine = plat_memory_available_bytes();
    CHECK(machine > 64 << 20);
    write_file("/sys/fs/cgroup/memory.max", "max\n");
    CHECK(plat_memory_available_bytes() > machine / 2);
    write_file("/sys/fs/cgroup/memory.max", "33554432\n");
    CHECK_INT(plat_memory_available_bytes(), ==, 32 << 20);
    write_file("/sys/fs/cgroup/memory.current", "30000000\n");
    write_file("/sys/fs/cgroup/memory.stat", "anon 9\ninactive_file 10000000\nactive_file 7\n");
    CHECK_INT(plat_memory_available_bytes(), ==, 33554432 - 20000000);
    write_file("/sys/fs/cgroup/memory.current", "90000000\n");
    CHECK_INT(plat_memory_available_bytes(), ==, 1); /* 0 would be "not known" */
    CHECK(remove("/sys/fs/cgroup/memory.max") == 0);

    if (all < 2)
        test_skip("this machine, or this test, has one core");
    CHECK_INT(plat_core_count(), ==, all);

    test_step("version 2");
    write_file("/sys/fs/cgroup/cpu.max", "max 100000\n");
    CHECK_INT(plat_core_count(), ==, all);
    write_file("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    CHECK_INT(plat_core_count(), ==, 1);
    write_file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    CHECK_INT(plat_core_count(), ==, 1);
    write_file("/sys/fs/cgroup/cpu.max", "20000 100000\n");
    CHECK_INT(plat_core_count(), ==, 1);
    write_file("/sys/fs/cgroup/cpu.max", "900000000 100000\n");
    CHECK_INT(plat_core_count(), ==, all);
    CHECK(remove("/sys/fs/cgroup/cpu.max") == 0);

    test_step("version 1");
    char line[512];
    bool has_version_1 = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file))
        has_version_1 |= strstr(line, ":cpu:") || strstr(line, ":cpu,") || strstr(line, ",cpu:");
    if (file)
        fclose(file);
    if (has_version_1) {
        CHECK(mkdir("/sys/fs/cgroup/cpu", 0755) == 0);
        write_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        write_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        CHECK_INT(plat_core_count(), ==, all);
        write_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
        CHECK_INT(plat_core_count(), ==, 1);
    } else {
        printf("  this system has none\n");
    }
    CHECK(umount("/sys/fs/cgroup") == 0);
    return test_end();
}
