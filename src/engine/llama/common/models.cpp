/* models.cpp - see models.h. The cache is the library's: it lists, removes and links; only what it fetches itself, and it has no
 * TLS here, is fetched by fetch.cpp. What a server says is checked before it becomes part of a path. */
#include "models.h"
#include "fetch.hpp"
#include "sha256.hpp"
#include "web.hpp"

#include "../../../platform/platform.h"
#include "../../../text/json.h"
#include "../../../text/model_name.h"

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

constexpr size_t list_bytes_most = 32 << 20, path_bytes_most = 512;
constexpr int commit_digits = 40, sum_digits = 64, version_digits = 16;

[[noreturn]] void fail(int code, const std::string &message) {
    throw fetch_error(code, message);
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return tolower(c); });
    return text;
}

bool is_hex(const std::string &text, size_t n_digits) {
    return text.size() == n_digits && std::all_of(text.begin(), text.end(), [](unsigned char c) { return isxdigit(c); });
}

/* ---- who asks, and whom -------------------------------------------------------------------------------------------------- */

bool begins(const std::string &text, const char *with) {
    return text.rfind(with, 0) == 0;
}

/* With a slash at its end. */
std::string hub_address() {
    std::string address = common_get_model_endpoint();
    if (!begins(address, "https://") && !begins(address, "http://"))
        fail(MODELS_E_FAILED, "HF_ENDPOINT is '" + address + "': expected an address that begins with https://");
    return address;
}

bool is_private(const std::string &address) {
    return begins(address, "https://") || begins(address, "http://127.0.0.1:") || begins(address, "http://localhost:") ||
           begins(address, "http://127.0.0.1/") || begins(address, "http://localhost/") || begins(address, "http://[::1]");
}

/* The token for an address; "" for another server than the hub. */
std::string key_for(const std::string &address, const fetch_watch &watch) {
    const char *token = plat_environment("HF_TOKEN");
    std::string hub = hub_address(), key = token ? token : "";
    if (key.empty() || !begins(address, hub.c_str())) return "";
    bool is_plain = std::all_of(key.begin(), key.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F; });
    if (!is_plain) fail(MODELS_E_FAILED, "HF_TOKEN holds characters that no token has");
    if (is_private(address)) return key;
    watch.say("HF_TOKEN is not used: " + hub + " is asked without TLS, where anybody could read it");
    return "";
}

/* ---- what a repository holds ---------------------------------------------------------------------------------------------- */

struct entry {
    std::string path;
    std::string sum; /* 64 digits, or the 40 of a small file */
    uint64_t size;
};

struct listing {
    std::string branch, commit;
    std::vector<entry> files;
};

std::string text_of(json_slice value) {
    std::string text(value.n_bytes + 1, 0);
    if (json_kind(value) != '"') return "";
    text.resize(json_text(value, &text[0]));
    return text;
}

/* Such a path stays in its folder, on every system. */
bool is_inside(const std::string &path) {
    if (path.empty() || path.size() > path_bytes_most) return false;
    for (size_t at = 0; at <= path.size();) {
        size_t end = std::min(path.find('/', at), path.size());
        std::string part = path.substr(at, end - at);
        if (part.empty() || part == "." || part == "..") return false;
        at = end + 1;
    }
    return std::all_of(path.begin(), path.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7F && !strchr("\\:*?\"<>|", c); });
}

/* What the hub answers, as JSON that may be read. */
std::string ask_hub(const std::string &path, const std::string &shown, fetch_watch &watch) {
    std::string body;
    web_request request;
    request.address = hub_address() + path;
    request.key = key_for(request.address, watch);
    request.on_body = [&](const web_reply &, const char *bytes, size_t n) {
        body.append(bytes, n);
        return body.size() <= list_bytes_most;
    };
    request.go_on = [&] { return watch.go_on(); };
    for (int n_tries = 1;; n_tries++) {
        body.clear();
        web_reply reply = web_get(request);
        if (!watch.go_on()) fail(MODELS_E_CANCELLED, "cancelled");
        json_slice value;
        if (reply.status == 200 && reply.failure.empty() && json_check(body.data(), body.size(), &value, nullptr)) return body;
        std::string refusal = fetch_refusal(reply.status, shown, !request.key.empty());
        if (!refusal.empty()) fail(reply.status == 404 ? MODELS_E_MISSING : MODELS_E_FAILED, refusal);
        std::string why = reply.status == 200 && reply.failure.empty() ? "its answer is no JSON"
                          : reply.status >= 400 ? "status " + std::to_string(reply.status) : reply.failure;
        if (n_tries == 3 || reply.status == 0) fail(MODELS_E_FAILED, "the hub cannot be asked for " + shown + ": " + why);
        watch.wait(reply.retry_after_s >= 0 ? std::min(reply.retry_after_s, 60) * 1000ull : 1000);
    }
}

json_slice checked(const std::string &body) {
    json_slice value = {};
    json_check(body.data(), body.size(), &value, nullptr);
    return value;
}

/* The newest commit of "main", or of the first branch. */
void read_branches(const std::string &body, const std::string &repository, listing &found) {
    json_slice branches = json_member(checked(body), "branches"), branch = {};
    while ((branch = json_next(branches, branch)).at) {
        std::string name = text_of(json_member(branch, "name")), commit = text_of(json_member(branch, "targetCommit"));
        if (!is_inside(name) || !is_hex(commit, commit_digits)) continue;
        if (!found.commit.empty() && name != "main") continue;
        found.branch = name;
        found.commit = lower(commit);
    }
    if (found.commit.empty()) fail(MODELS_E_FAILED, "the hub names no commit of " + repository);
}

void read_files(const std::string &body, listing &found) {
    json_slice all = checked(body), file = {};
    while ((file = json_next(all, file)).at) {
        json_slice lfs = json_member(file, "lfs"), about = json_kind(lfs) == '{' ? lfs : file, size = json_member(about, "size");
        entry entry = {text_of(json_member(file, "path")), lower(text_of(json_member(about, "oid"))), 0};
        if (json_kind(size) == '0') entry.size = strtoull(std::string(size.at, size.n_bytes).c_str(), nullptr, 10);
        bool is_known = is_hex(entry.sum, sum_digits) || is_hex(entry.sum, commit_digits);
        if (text_of(json_member(file, "type")) == "file" && is_known && is_inside(entry.path)) found.files.push_back(entry);
    }
}

listing list_repository(const std::string &repository, fetch_watch &watch) {
    listing found;
    read_branches(ask_hub("api/models/" + repository + "/refs", repository, watch), repository, found);
    read_files(ask_hub("api/models/" + repository + "/tree/" + found.commit + "?recursive=true", repository, watch), found);
    return found;
}

/* ---- which of its files ------------------------------------------------------------------------------------------------------ */

constexpr size_t part_length = 20; /* "-00002-of-00005.gguf" */

std::string part_end(int number, int n_parts) {
    char text[48];
    snprintf(text, sizeof text, "-%05d-of-%05d.gguf", number, n_parts);
    return text;
}

/* Whether it is one of several files of a model; then which, and of how many. */
bool is_part(const std::string &path, int &number, int &n_parts) {
    if (path.size() <= part_length) return false;
    const char *end = path.c_str() + path.size() - part_length;
    if (sscanf(end, "-%5d-of-%5d.gguf", &number, &n_parts) != 2 || number < 1 || n_parts < number || n_parts > 99999) return false;
    return part_end(number, n_parts) == end;
}

/* A model by itself, or the first of its files. Projectors, drafts and the like are files of other kinds. */
bool is_model(const std::string &path) {
    static const char *const others[] = {"mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"};
    std::string name = path.substr(path.rfind('/') + 1);
    int number = 1, n_parts;
    if (name.size() < 6 || name.compare(name.size() - 5, 5, ".gguf") != 0) return false;
    if (is_part(path, number, n_parts) && number != 1) return false;
    return std::none_of(std::begin(others), std::end(others), [&](const char *other) { return name.find(other) != std::string::npos; });
}

bool has_quant(const std::string &path, const std::string &quant) {
    std::string in = lower(path), wanted = lower(quant);
    for (size_t at = 0; (at = in.find(wanted, at)) != std::string::npos; at++)
        if (at + wanted.size() < in.size() && strchr(".-", in[at + wanted.size()])) return true;
    return false;
}

/* As llama.cpp chooses: the quantization that is asked for; otherwise Q4_K_M, Q8_0, or the first model there is. */
const entry &choose(const listing &found, const model_name &name) {
    std::vector<std::string> quants = {name.quant};
    if (quants[0].empty()) quants = {"Q4_K_M", "Q8_0"};
    for (const std::string &quant : quants)
        for (const entry &file : found.files)
            if (is_model(file.path) && has_quant(file.path, quant)) return file;
    std::string there;
    for (const entry &file : found.files) {
        if (!is_model(file.path)) continue;
        if (!name.quant[0]) return file;
        if (there.size() < 200) there += (there.empty() ? "" : ", ") + file.path;
    }
    fail(MODELS_E_MISSING, std::string(name.repository) + " has no GGUF model" + (name.quant[0] ? " of this quantization" : "") +
                               (there.empty() ? "" : "; it has " + there));
}

std::vector<entry> parts_of(const listing &found, const entry &first) {
    int number, n_parts = 1;
    std::vector<entry> parts;
    if (!is_part(first.path, number, n_parts)) return {first};
    for (int i = 1; i <= n_parts; i++) {
        std::string path = first.path.substr(0, first.path.size() - part_length) + part_end(i, n_parts);
        auto at = std::find_if(found.files.begin(), found.files.end(), [&](const entry &file) { return file.path == path; });
        if (at == found.files.end()) fail(MODELS_E_MISSING, "the hub has no " + path + ", a part of the model");
        parts.push_back(*at);
    }
    return parts;
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

void write_reference(const fs::path &folder, const listing &found) {
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
std::string fetch_entry(const entry &entry, const listing &found, const std::string &repository, fetch_watch &watch) {
    std::error_code error;
    fs::path cache = hf_cache::get_cache_path(), folder = cache / folder_of(repository), blob = folder / "blobs" / entry.sum;
    fs::path path = folder / "snapshots" / found.commit / entry.path;
    fetch_file file;
    file.address = hub_address() + repository + "/resolve/" + found.commit + "/" + escaped(entry.path);
    file.shown = entry.path;
    file.key = key_for(file.address, watch);
    file.path = blob;
    file.partial = blob.string() + ".incomplete";
    file.lock = cache / ".locks" / folder_of(repository) / (entry.sum + ".lock");
    file.size = entry.size;
    if (is_hex(entry.sum, sum_digits)) file.sum = entry.sum;
    if (has_size(path, entry.size)) return path.string();
    if (fs::exists(blob, error) && !has_size(blob, entry.size)) fs::remove(blob, error); /* cut off by somebody */
    fs::remove(path, error);                                                               /* leads nowhere, or to that */
    fetch(file, watch);
    make_link(blob, path, entry.size);
    return path.string();
}

std::string fetch_from_hub(const model_name &name, fetch_watch &watch) {
    std::string first;
    listing found = list_repository(name.repository, watch);
    std::vector<entry> parts = parts_of(found, choose(found, name));
    for (const entry &part : parts) watch.expect(part.size);
    for (const entry &part : parts) {
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
    int number, n_parts = 1;
    std::error_code error;
    bool is_split = is_part(first, number, n_parts);
    std::vector<fs::path> files;
    for (int i = 1; i <= n_parts; i++) {
        fs::path path = is_split ? first.substr(0, first.size() - part_length) + part_end(i, n_parts) : first;
        if (first.empty() || !fs::exists(path, error)) return {};
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
    file.key = key_for(address, watch);
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
    if (is_hex(now.linked_sum, sum_digits) && begins(address, hub_address().c_str())) file.sum = lower(now.linked_sum);
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

void remove_address(const model_name &name) {
    std::error_code error;
    fs::path path = fs_get_cache_file(name.file);
    plat_file_lock *lock;
    if (plat_file_lock_take((path.string() + ".lock").c_str(), &lock) < 0)
        fail(MODELS_E_FAILED, std::string(name.file) + " is being fetched, or cannot be locked: " + plat_os_error());
    bool was_there = fs::remove(path, error);
    std::vector<fs::path> beside;
    for (const fs::directory_entry &file : fs::directory_iterator(path.parent_path()))
        if (is_beside(file.path().filename().string(), name.file)) beside.push_back(file.path());
    for (const fs::path &file : beside) was_there |= fs::remove(file, error);
    plat_file_lock_release(lock);
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
