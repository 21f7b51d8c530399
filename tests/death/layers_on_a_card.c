/* layers_on_a_card.c - all layers of the embedded model lie on a device of Vulkan's: the answer is right, and the same byte for byte
 * when the worker is killed in the middle of it. The device is llvmpipe, a driver of Mesa's that computes on the processor, so that
 * no graphics card is needed.
 *
 * LIPC_TEST_VULKAN is the backend, libggml-vulkan.so; scripts/test.sh fetches it, scripts/setup.sh installs the driver.
 */
#include "worker_test.h"

#define DRIVER "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"

static void check_layers(lipc_client *client) {
    lipc_host_status status;
    CHECK_LIPC(lipc_client_status(client, &status), LIPC_E_OK);
    CHECK_SAY(status.n_layers > 0 && status.n_device_layers == status.n_layers && strstr(status.devices, "Vulkan0 (llvmpipe"),
              "%d of %d layers on devices: %s", status.n_device_layers, status.n_layers, status.devices);
}

int main(void) {
    char instance[64];
    test_host host;
    const char *backend = getenv("LIPC_TEST_VULKAN");
    test_begin("layers_on_a_card", 120);
    if (!backend || access(backend, R_OK) < 0) test_skip("there is no Vulkan backend; scripts/fetch-libllama.sh vulkan fetches it");
    if (access(DRIVER, R_OK) < 0) test_skip("there is no llvmpipe driver for Vulkan; it is in mesa-vulkan-drivers");
    /* No card that this machine may have. */
    setenv("GGML_BACKEND_PATH", backend, 1);
    setenv("VK_DRIVER_FILES", DRIVER, 1);
    setenv("VK_ICD_FILENAMES", DRIVER, 1); /* older loaders' name for it */
    setenv("GGML_VK_VISIBLE_DEVICES", "0", 1);

    test_step("all layers");
    test_instance(instance, "card");
    segment segment = host_ready(&host, instance, (const char *const[]){"-ngl", "all", "--temp", "0", NULL});
    lipc_client *client = client_of(instance);
    check_layers(client);

    test_step("an answer");
    char *undisturbed = text_of(ask_shortly(client));
    CHECK_SAY(strncmp(undisturbed, "C++ is a compiled, general-purpose programming language", 55) == 0, "it says: %s", undisturbed);

    test_step("the worker is killed in the middle of it");
    lipc_stream *stream = ask_shortly(client);
    CHECK(WAITED(SOON_MS, progress_of(stream).n_tokens >= 4));
    worker_killed(&host, worker_awaited(&host), SIGKILL);
    char *disturbed = text_of(stream);
    CHECK_TEXT(disturbed, undisturbed);
    check_layers(client);
    free(disturbed);
    free(undisturbed);
    lipc_client_close(client);
    end_host(&host, &segment);
    return test_end();
}
