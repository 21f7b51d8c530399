/* models.cpp - see models.h. The cache is the library's: it lists, removes and links; only what it fetches itself, and it has no
 * TLS here, is fetched by fetch.cpp, from the hub by what hub.cpp finds there. */
#include "models.h"
#include "hub.hpp"
#include "sha256.hpp"
#include "strings.hpp"
#include "web.hpp"

#include "../../../platform/platform.h"

#include "common.h"
#include "download.h"
#include "hf-cache.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <fstream>
#include <vector>

namespace fs = std::filesystem;

namespace {

constexpr size_t version_digits = 16;

[[noreturn]] void fail(int code, const std::string &message) {
    throw fetch_error(code, message);
}

/* ---- into the cache ------------------------------------------------------------------------------------------------------------ */

std::string folder_of(const std::string &repository) {
    std::string name = repository;
    name.replace(name.find('/'), 1, "--");
    return "models--" + name;
}

std::string escaped(const std::string &path) {
    static const char digits[] = "0123456789ABCDEF";
    std::string text;
    for (unsigned char c : path) {
        bool is_plain = isalnum(c) || strchr("-._~/", c);
        text += is_plain ? std::string(1, static_cast<char>(c)) : std::string{'%', digits[c >> 4], digits[c & 15]};
    }
    return text;
}

bool has_size(const fs::path &path, uint64_t size) {
    std::error_code error;
    return fs::file_size(path, error) == size && !error;
}

void write_reference(const fs::path &folder, const hub_listing &found) {
    std::error_code error;
    fs::path path = folder / "refs" / found.branch, made = path.string() + "." + std::to_string(plat_clock_ns()) + ".tmp";
    fs::create_directories(path.parent_path(), error);
    std::ofstream out(made);
    out << found.commit;
    out.close();
    if (!out) {
        fs::remove(made, error);
        fail(MODELS_E_FAILED, "cannot write " + made.string());
    }
    fs::rename(made, path, error);
    if (error) fail(MODELS_E_FAILED, "cannot write " + path.string() + ": " + error.message());
}

/* Not by the library: that moves the content away if another process has made the link in between. */
void make_link(const fs::path &blob, const fs::path &path, uint64_t size) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    fs::create_symlink(fs::relative(blob, path.parent_path(), error), path, error);
    if (has_size(path, size)) return;
    fs::create_hard_link(blob, path, error); /* a system that lets nobody make the other kind */
    if (!has_size(path, size)) fail(MODELS_E_FAILED, "cannot make " + path.string() + ": " + error.message());
}

/* One file: its content under its sum, and a link to it under its path. */
std::string fetch_entry(const hub_file &entry, const hub_listing &found, const std::string &repository, fetch_watch &watch) {
    std::error_code error;
    fs::path cache = hf_cache::get_cache_path(), folder = cache / folder_of(repository), blob = folder / "blobs" / entry.sum;
    fs::path path = folder / "snapshots" / found.commit / entry.path;
    fetch_file file;
    file.address = hub_address() + repository + "/resolve/" + found.commit + "/" + escaped(entry.path);
    file.shown = entry.path;
    file.key = hub_key(file.address, watch);
    file.path = blob;
    file.partial = blob.string() + ".incomplete";
    file.lock = cache / ".locks" / folder_of(repository) / (entry.sum + ".lock");
    file.size = entry.size;
    if (is_hex(entry.sum, hub_sum_digits)) file.sum = entry.sum;
    if (has_size(path, entry.size)) return path.string();
    fetch(file, watch);
    fs::remove(path, error); /* it led nowhere, or to what somebody had cut off */
    make_link(blob, path, entry.size);
    return path.string();
}

std::string fetch_from_hub(const model_name &name, fetch_watch &watch) {
    std::string first;
    hub_listing found = hub_list(name.repository, watch);
    std::vector<hub_file> parts = hub_choose(found, name);
    for (const hub_file &part : parts) watch.expect(part.size);
    for (const hub_file &part : parts) {
        std::string path = fetch_entry(part, found, name.repository, watch);
        watch.next(part.size);
        if (first.empty()) first = path;
    }
    write_reference(fs::path(hf_cache::get_cache_path()) / folder_of(name.repository), found);
    return first;
}

/* ---- what is in the cache --------------------------------------------------------------------------------------------------- */

/* All files of a model of which this is the first; none if one is missing. */
std::vector<fs::path> files_beside(const std::string &first) {
    std::error_code error;
    std::vector<fs::path> files;
    for (const std::string &path : model_parts(first)) {
        if (path.empty() || !fs::exists(path, error)) return {};
        files.push_back(path);
    }
    return files;
}

std::string full_name(const model_name &name) {
    return std::string(name.repository) + (name.quant[0] ? ":" : "") + name.quant;
}

std::string find_cached(const model_name &name) {
    std::string path = name.is_address ? fs_get_cache_file(name.file) : common_download_resolve_path(full_name(name));
    return files_beside(path).empty() ? "" : path;
}

/* ---- from another server ------------------------------------------------------------------------------------------------------- */

std::string read_line(const fs::path &path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

/* Asks what the file is now. */
web_reply ask_about(const fetch_file &file, fetch_watch &watch) {
    web_request request;
    request.address = file.address;
    request.key = file.key;
    request.is_head = true;
    request.go_on = [&] { return watch.go_on(); };
    web_reply reply = web_get(request);
    if (!watch.go_on()) fail(MODELS_E_CANCELLED, "cancelled");
    return reply;
}

/* As llama.cpp keeps it: by its name, with its ETag beside it. */
std::string fetch_address(const std::string &address, const model_name &name, fetch_watch &watch) {
    std::error_code error;
    fetch_file file;
    file.address = address;
    file.shown = name.file;
    file.key = hub_key(address, watch);
    file.path = fs_get_cache_file(name.file);
    file.lock = file.path.string() + ".lock";
    file.etag_path = file.path.string() + ".etag";
    web_reply now = ask_about(file, watch);
    bool is_there = fs::exists(file.path, error), is_known = now.status == 200;
    if (is_there && (!is_known || now.etag.empty() || now.etag == read_line(file.etag_path))) return file.path.string();
    if (now.status == 0) fail(MODELS_E_FAILED, file.shown + " cannot be fetched: " + now.failure);
    std::string refusal = fetch_refusal(now.status, file.shown, !file.key.empty());
    if (now.status == 404) fail(MODELS_E_MISSING, refusal); /* others may be about this question alone, as of signed addresses */
    if (is_known) file.size = now.length;
    if (is_known) file.etag = now.etag;
    if (is_hex(now.linked_sum, hub_sum_digits) && begins(address, hub_address().c_str())) file.sum = lower(now.linked_sum);
    sha256 version; /* what has come of another version of the file is not gone on with */
    version.add(file.etag.data(), file.etag.size());
    file.partial = file.path.string() + "." + version.hex().substr(0, version_digits) + ".incomplete";
    watch.expect(file.size);
    fetch(file, watch);
    watch.next(file.size);
    return file.path.string();
}

std::string fetch_addresses(const std::string &first, fetch_watch &watch) {
    std::string path;
    for (const std::string &address : common_download_get_all_parts(first)) {
        model_name name;
        const char *wrong;
        if (!model_name_read(address.c_str(), &name, &wrong)) fail(MODELS_E_NAME, wrong);
        std::string made = fetch_address(address, name, watch);
        if (path.empty()) path = made;
    }
    return path;
}

/* ---- all together ------------------------------------------------------------------------------------------------------------------ */

std::string shown(const char *name) {
    return std::string(name, std::min(model_name_shown(name), size_t(300)));
}

model_name read_name(const char *text) {
    model_name name;
    const char *wrong;
    if (!model_name_read(text, &name, &wrong)) fail(MODELS_E_NAME, "'" + shown(text) + "' is no name of a model: " + wrong);
    return name;
}

std::string find_or_fetch(const char *text, const models_options &options) {
    model_name name = read_name(text);
    if (options.is_offline) {
        std::string path = find_cached(name);
        if (path.empty()) fail(MODELS_E_MISSING, shown(text) + " is not in the cache, and --offline forbids to fetch it");
        return path;
    }
    fetch_watch watch(options);
    try {
        return name.is_address ? fetch_addresses(text, watch) : fetch_from_hub(name, watch);
    } catch (const fetch_error &error) {
        std::string path = error.code == MODELS_E_CANCELLED ? "" : find_cached(name);
        if (path.empty()) throw;
        watch.say(std::string(error.what()) + ": the one in the cache is used");
        return path;
    }
}

/* Runs `work`, and makes of what it throws a code and a sentence. */
template <typename function> int guarded(char *message, size_t message_size, const function &work) {
    try {
        work();
        return MODELS_OK;
    } catch (const fetch_error &error) {
        snprintf(message, message_size, "%s", error.what());
        return error.code;
    } catch (const std::exception &error) {
        snprintf(message, message_size, "the cache of models cannot be used: %s", error.what());
        return MODELS_E_FAILED;
    }
}

/* Its ETag, or what has come of a version of it. */
bool is_beside(const std::string &file, const std::string &name) {
    static const std::string partial = ".incomplete";
    if (!begins(file, (name + ".").c_str())) return false;
    std::string rest = file.substr(name.size() + 1);
    return rest == "etag" || (rest.size() == version_digits + partial.size() && is_hex(rest.substr(0, version_digits), version_digits) &&
                              rest.substr(version_digits) == partial);
}

bool remove_file(const std::string &name) {
    std::error_code error;
    fs::path path = fs_get_cache_file(name);
    plat_file_lock *lock;
    if (plat_file_lock_take((path.string() + ".lock").c_str(), &lock) < 0)
        fail(MODELS_E_FAILED, name + " is being fetched, or cannot be locked: " + plat_os_error());
    bool was_there = fs::remove(path, error);
    std::vector<fs::path> beside;
    for (const fs::directory_entry &file : fs::directory_iterator(path.parent_path()))
        if (is_beside(file.path().filename().string(), name)) beside.push_back(file.path());
    for (const fs::path &file : beside) was_there |= fs::remove(file, error);
    plat_file_lock_release(lock);
    return was_there;
}

/* With all its parts. */
void remove_address(const model_name &name) {
    bool was_there = false;
    std::error_code error;
    for (const std::string &part : model_parts(name.file))
        if (part == name.file || fs::exists(fs_get_cache_file(part), error)) was_there |= remove_file(part);
    if (!was_there) fail(MODELS_E_MISSING, std::string(name.file) + " is not in the cache");
}

uint64_t size_of_all(const std::string &first) {
    uint64_t sum = 0;
    std::error_code error;
    for (const fs::path &file : files_beside(first)) sum += fs::file_size(file, error);
    return sum;
}

} // namespace

int models_fetch(const char *name, const models_options *options, char *path, size_t path_size, char *message, size_t message_size) {
    return guarded(message, message_size, [&] {
        std::string found = find_or_fetch(name, *options);
        if (found.size() >= path_size) fail(MODELS_E_FAILED, "the path of the cache is too long");
        memcpy(path, found.c_str(), found.size() + 1);
    });
}

int models_list(FILE *file) {
    int n_models = 0;
    char message[256];
    int error = guarded(message, sizeof message, [&] {
        for (const common_cached_model_info &model : common_list_cached_models()) {
            std::string path = common_download_resolve_path(model.to_string());
            if (files_beside(path).empty()) continue;
            fprintf(file, "%s\t%.1f MB\t%s\n", model.to_string().c_str(), static_cast<double>(size_of_all(path)) / 1e6, path.c_str());
            n_models++;
        }
        fs::path folder = fs::path(fs_get_cache_file("x")).parent_path();
        for (const fs::directory_entry &entry : fs::directory_iterator(folder)) {
            if (entry.path().extension() != ".gguf" || !entry.is_regular_file()) continue;
            fprintf(file, "%s\t%.1f MB\t%s\n", entry.path().filename().string().c_str(), static_cast<double>(entry.file_size()) / 1e6,
                    entry.path().string().c_str());
            n_models++;
        }
    });
    return error < 0 ? 0 : n_models;
}

int models_remove(const char *name, char *message, size_t message_size) {
    return guarded(message, message_size, [&] {
        model_name read = read_name(name);
        if (read.is_address) remove_address(read);
        else if (!common_download_remove(full_name(read))) fail(MODELS_E_MISSING, full_name(read) + " is not in the cache");
    });
}
