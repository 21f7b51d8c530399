/* model_in_parts.c - a path that leads through links to a file of a model in parts, as caches of downloads have them: the
 * other parts are looked for where that file lies, and a missing one is called missing. */
#include "host_test.h"

#include <limits.h>

static char folder[] = "/tmp/lipctestXXXXXX";

static const char *in_folder(const char *name) {
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void make_link(const char *target, const char *name) {
    CHECK(symlink(target, in_folder(name)) == 0);
}

int main(void) {
    char instance[64], model[4096], command[PATH_MAX * 2];
    test_host host;
    guide_client client;
    test_begin("model_in_parts", 60);
    test_instance(instance, "parts");
    CHECK(mkdtemp(folder));
    CHECK(realpath(test_model_path(model, "tutor.gguf"), command) != NULL);
    snprintf(model, sizeof model, "%s", command);
    make_link(model, "cached-00001-of-00003.gguf");
    make_link("cached-00001-of-00003.gguf", "near.gguf");
    make_link(in_folder("near.gguf"), "far.gguf");
    make_link(model, "whole-00001-of-00001.gguf");
    make_link("whole-00001-of-00001.gguf", "whole.gguf");
    make_link("loop.gguf", "loop.gguf");

    test_step("two of three parts are missing");
    static const char *const names[] = {"cached-00001-of-00003.gguf", "near.gguf", "far.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fails(instance, 3, "part 2 of 3 of the model is missing", (const char *const[]){"-m", in_folder(names[i]), NULL});
    make_link(model, "cached-00002-of-00003.gguf");
    fails(instance, 3, "cached-00003-of-00003.gguf", (const char *const[]){"-m", in_folder("far.gguf"), NULL});
    test_step("a link to itself");
    fails(instance, 3, "loop.gguf", (const char *const[]){"-m", in_folder("loop.gguf"), NULL});

    test_step("all parts are there: one");
    host_start(&host, instance, "-m", in_folder("whole.gguf"), NULL);
    attach(&client, &host);
    check_serves(&client);
    guide_close(&client);
    host_stop(&host);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), ==, 0);
    return test_end();
}
