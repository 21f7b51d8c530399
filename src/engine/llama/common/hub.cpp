/* hub.cpp - see hub.hpp. What a server says is checked before it becomes part of a path. */
#include "hub.hpp"
#include "strings.hpp"
#include "web.hpp"

#include "../../../platform/platform.h"
#include "../../../text/json.h"

#include "common.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace {

constexpr size_t list_bytes_most = 32 << 20, path_bytes_most = 512;
constexpr int commit_digits = 40;

[[noreturn]] void fail(int code, const std::string &message) {
    throw fetch_error(code, message);
}

bool is_private(const std::string &address) {
    return begins(address, "https://") || begins(address, "http://127.0.0.1:") || begins(address, "http://localhost:") ||
           begins(address, "http://127.0.0.1/") || begins(address, "http://localhost/") || begins(address, "http://[::1]");
}

/* ---- what a repository holds ---------------------------------------------------------------------------------------------- */

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
    request.key = hub_key(request.address, watch);
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
void read_branches(const std::string &body, const std::string &repository, hub_listing &found) {
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

void read_files(const std::string &body, hub_listing &found) {
    json_slice all = checked(body), file = {};
    while ((file = json_next(all, file)).at) {
        json_slice lfs = json_member(file, "lfs"), about = json_kind(lfs) == '{' ? lfs : file, size = json_member(about, "size");
        hub_file entry = {text_of(json_member(file, "path")), lower(text_of(json_member(about, "oid"))), 0};
        if (json_kind(size) == '0') entry.size = strtoull(std::string(size.at, size.n_bytes).c_str(), nullptr, 10);
        bool is_known = is_hex(entry.sum, hub_sum_digits) || is_hex(entry.sum, commit_digits);
        if (text_of(json_member(file, "type")) == "file" && is_known && is_inside(entry.path)) found.files.push_back(entry);
    }
}

/* ---- which of its files ------------------------------------------------------------------------------------------------------ */

/* A model by itself, or the first of its files. Projectors, drafts and the like are files of other kinds. */
bool is_model(const std::string &path) {
    static const char *const others[] = {"mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"};
    std::string name = path.substr(path.rfind('/') + 1);
    model_part part;
    if (name.size() < 6 || name.compare(name.size() - 5, 5, ".gguf") != 0) return false;
    if (model_part_read(path.c_str(), &part) && part.number != 1) return false;
    return std::none_of(std::begin(others), std::end(others), [&](const char *other) { return name.find(other) != std::string::npos; });
}

bool has_quant(const std::string &path, const std::string &quant) {
    std::string in = lower(path), wanted = lower(quant);
    for (size_t at = 0; (at = in.find(wanted, at)) != std::string::npos; at++)
        if (at + wanted.size() < in.size() && strchr(".-", in[at + wanted.size()])) return true;
    return false;
}

/* As llama.cpp chooses: the quantization that is asked for; otherwise Q4_K_M, Q8_0, or the first model there is. */
const hub_file &choose(const hub_listing &found, const model_name &name) {
    std::vector<std::string> quants = {name.quant};
    if (quants[0].empty()) quants = {"Q4_K_M", "Q8_0"};
    for (const std::string &quant : quants)
        for (const hub_file &file : found.files)
            if (is_model(file.path) && has_quant(file.path, quant)) return file;
    std::string there;
    for (const hub_file &file : found.files) {
        if (!is_model(file.path)) continue;
        if (!name.quant[0]) return file;
        if (there.size() < 200) there += (there.empty() ? "" : ", ") + file.path;
    }
    fail(MODELS_E_MISSING, std::string(name.repository) + " has no GGUF model" + (name.quant[0] ? " of this quantization" : "") +
                               (there.empty() ? "" : "; it has " + there));
}

std::vector<hub_file> parts_of(const hub_listing &found, const hub_file &first) {
    std::map<std::string, const hub_file *> there;
    std::vector<hub_file> parts;
    for (const hub_file &file : found.files) there[file.path] = &file;
    for (const std::string &path : model_parts(first.path)) {
        auto at = there.find(path);
        if (at == there.end()) fail(MODELS_E_MISSING, "the hub has no " + path + ", a part of the model");
        parts.push_back(*at->second);
    }
    return parts;
}

} // namespace

std::string hub_address() {
    std::string address = common_get_model_endpoint();
    if (!begins(address, "https://") && !begins(address, "http://"))
        fail(MODELS_E_FAILED, "HF_ENDPOINT is '" + address + "': expected an address that begins with https://");
    return address;
}

std::string hub_key(const std::string &address, const fetch_watch &watch) {
    const char *token = plat_environment("HF_TOKEN");
    std::string hub = hub_address(), key = token ? token : "";
    if (key.empty() || !begins(address, hub.c_str())) return "";
    bool is_plain = std::all_of(key.begin(), key.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F; });
    if (!is_plain) fail(MODELS_E_FAILED, "HF_TOKEN holds characters that no token has");
    if (is_private(address)) return key;
    watch.say("HF_TOKEN is not used: " + hub + " is asked without TLS, where anybody could read it");
    return "";
}

hub_listing hub_list(const std::string &repository, fetch_watch &watch) {
    hub_listing found;
    read_branches(ask_hub("api/models/" + repository + "/refs", repository, watch), repository, found);
    read_files(ask_hub("api/models/" + repository + "/tree/" + found.commit + "?recursive=true", repository, watch), found);
    return found;
}

std::vector<std::string> model_parts(const std::string &path) {
    model_part part;
    if (!model_part_read(path.c_str(), &part)) return {path};
    std::vector<std::string> all;
    std::string name(path.size() + 1, 0);
    for (int i = 1; i <= part.n_parts; i++) {
        model_part_write(path.c_str(), &part, i, &name[0], name.size());
        all.push_back(name.substr(0, path.size()));
    }
    return all;
}

std::vector<hub_file> hub_choose(const hub_listing &found, const model_name &name) {
    return parts_of(found, choose(found, name));
}
