/* backends.cpp - see backends.h. */
#include "backends.h"

#include "../../../platform/platform.h"

#include <ggml-backend.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace {

constexpr size_t MIB = 1 << 20;
constexpr const char *rpc_name = "RPC", *rpc_file = "libggml-rpc.so";

/* Files that are fetched or built for devices, and the names by which the library knows them. */
const struct {
    const char *file, *name;
} device_parts[] = {{"libggml-cuda.so", "CUDA"}, {"libggml-vulkan.so", "Vulkan"}, {"libggml-hip.so", "ROCm"},
                    {"libggml-sycl.so", "SYCL"}, {"libggml-opencl.so", "OpenCL"}};

bool has_processor() {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != nullptr;
}

/* Parts lie beside the library that loads them; empty where it is not known. */
std::string folder_of_parts() {
    char folder[4096];
    auto *symbol = reinterpret_cast<const void *>(ggml_backend_load_all_from_path);
    return plat_library_folder(symbol, folder, sizeof folder) == PLAT_OK ? folder : "";
}

/* What a part says of itself, 0: this processor cannot run it. */
int score(const std::string &path) {
    void *library = plat_library_open(path.c_str());
    if (!library) return 0;
    auto ask = reinterpret_cast<int (*)()>(plat_library_symbol(library, "ggml_backend_score"));
    int found = ask ? ask() : 0;
    plat_library_close(library);
    return found;
}

/* As the library chooses it, which has no function for this part alone. */
void load_processor(const std::string &folder) {
    std::error_code error;
    std::string best;
    int best_score = 0;
    if (folder.empty()) return;
    for (const auto &entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().filename().string().rfind("libggml-cpu-", 0) != 0) continue;
        int found = score(entry.path().string());
        if (found <= best_score) continue;
        best_score = found;
        best = entry.path().string();
    }
    if (best_score > 0) ggml_backend_load(best.c_str());
}

bool is_device(ggml_backend_dev_t device) {
    return ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU;
}

/* Why the part in this file gives no device; empty: it does, or is not there. */
std::string reason_of(const std::string &path, const char *name) {
    char reason[512];
    ggml_backend_reg_t part = ggml_backend_reg_by_name(name);
    if (part && ggml_backend_reg_dev_count(part) > 0) return "";
    if (plat_file_size(path.c_str(), nullptr) != PLAT_OK) return "";
    void *library = plat_library_open(path.c_str());
    if (!library) plat_library_reason(reason, sizeof reason);
    if (!library) return std::string("it cannot be loaded: ") + reason;
    plat_library_close(library);
    return part ? "its driver shows no card that it can use" : "its driver does not start";
}

/* What each part lacks that is there and useless, up to the first or all. */
std::string unusable(const char *before_each, const char *behind_each, bool all) {
    std::string folder = folder_of_parts(), text;
    for (const auto &part : device_parts) {
        std::string reason = reason_of(folder + "/" + part.file, part.name);
        if (reason.empty()) continue;
        text += std::string(before_each) + part.file + ": " + reason + behind_each;
        if (!all) break;
    }
    return text;
}

void *rpc_function(const char *name) {
    return ggml_backend_reg_get_proc_address(ggml_backend_reg_by_name(rpc_name), name);
}

std::string explanation() {
    char cards[128], obstacle[256];
    plat_graphics_cards(cards, sizeof cards, obstacle, sizeof obstacle);
    std::string text = unusable("", "", false);
    if (text.empty() && cards[0])
        text = std::string("there is graphics of ") + cards + ", and no backend for it ('make gpu' fetches one: docs/gpu.md)";
    else if (text.empty())
        text = "there is no backend for any, and no graphics card to be seen";
    return obstacle[0] ? text + "; " + obstacle : text;
}

}

/* Where the system packages put the parts elsewhere, the library knows. */
bool backends_load(bool with_devices) {
    static bool has_loaded_devices;
    if (!has_processor()) load_processor(folder_of_parts());
    if (!has_processor()) ggml_backend_load_all();
    if (with_devices && !has_loaded_devices) {
        has_loaded_devices = true;
        ggml_backend_load_all_from_path(folder_of_parts().c_str()); /* what is loaded already, it leaves as it is */
    }
    return has_processor();
}

bool backends_load_rpc(void) {
    if (ggml_backend_reg_by_name(rpc_name)) return true;
    std::string path = folder_of_parts() + "/" + rpc_file;
    const char *named = plat_environment("GGML_BACKEND_PATH"); /* the library's, for parts that lie elsewhere */
    if (plat_file_size(path.c_str(), nullptr) != PLAT_OK && named && std::filesystem::path(named).filename() == rpc_file) path = named;
    return plat_file_size(path.c_str(), nullptr) == PLAT_OK && ggml_backend_load(path.c_str()) != nullptr;
}

bool backends_add_server(const char *address) {
    using function = ggml_backend_reg_t (*)(const char *);
    if (ggml_backend_reg_by_name((std::string(rpc_name) + "[" + address + "]").c_str())) return true;
    auto add = backends_load_rpc() ? reinterpret_cast<function>(rpc_function("ggml_backend_rpc_add_server")) : nullptr;
    ggml_backend_reg_t server = add ? add(address) : nullptr;
    if (server) ggml_backend_register(server);
    return server != nullptr;
}

bool backends_serve(const char *address, int n_threads, char *message, size_t message_size) {
    using function = void (*)(const char *, const char *, size_t, size_t, ggml_backend_dev_t *);
    std::vector<ggml_backend_dev_t> devices;
    backends_load(true);
    auto serve = backends_load_rpc() ? reinterpret_cast<function>(rpc_function("ggml_backend_rpc_start_server")) : nullptr;
    if (!serve) {
        snprintf(message, message_size, "--rpc-server needs the RPC backend, which 'make rpc' builds: docs/gpu.md");
        return false;
    }
    for (size_t i = 0; i < ggml_backend_dev_count(); i++)
        if (is_device(ggml_backend_dev_get(i))) devices.push_back(ggml_backend_dev_get(i));
    if (devices.empty()) devices.push_back(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    serve(address, nullptr, static_cast<size_t>(n_threads), devices.size(), devices.data());
    snprintf(message, message_size, "cannot serve at --rpc-server '%s': expected an address of this machine and a free port, such as "
                                    "192.168.1.5:50052", address);
    return false;
}

bool backends_have_devices(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) || ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

void backends_list_devices(FILE *file) {
    int n = 0;
    backends_load(true);
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t n_free, n_all;
        if (!is_device(device)) continue;
        ggml_backend_dev_memory(device, &n_free, &n_all);
        fprintf(file, "%s: %s (%zu MiB, %zu MiB free)\n", ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                n_all / MIB, n_free / MIB);
        n++;
    }
    fputs(unusable("unusable: ", "\n", true).c_str(), file);
    if (n == 0) fprintf(file, "no devices besides the processor: %s\n", explanation().c_str());
}

int32_t backends_decode(llama_context *context, llama_batch batch, char *reason, size_t reason_size) {
    reason[0] = 0;
    try {
        int32_t code = llama_decode(context, batch);
        llama_synchronize(context);
        return code;
    } catch (const std::exception &error) { /* of Vulkan's: a device that is lost, memory that is not there */
        snprintf(reason, reason_size, "%s", error.what());
    }
    return BACKENDS_DRIVER_FAILED;
}

void backends_explain(char *text, size_t size) {
    snprintf(text, size, "%s", explanation().c_str());
}
