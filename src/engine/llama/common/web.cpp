/* web.cpp - see web.hpp. The numbers are libcurl's, whose interface is the same since its version 7.32. */
#include "web.hpp"

#include "../../../platform/platform.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

enum option : int {
    option_low_speed_limit = 19, option_low_speed_time = 20, option_no_progress = 43, option_no_body = 44,
    option_follow_location = 52, option_max_redirects = 68, option_connect_timeout = 78, option_no_signal = 99,
    option_protocols = 181, option_redirect_protocols = 182,
    option_write_data = 10001, option_address = 10002, option_error_buffer = 10010, option_user_agent = 10018,
    option_http_header = 10023, option_header_data = 10029, option_progress_data = 10057, option_certificates = 10065,
    option_write_function = 20011, option_header_function = 20079, option_progress_function = 20219
};
constexpr int info_status = 0x200002;
constexpr long protocol_http = 1, protocol_https = 2, global_all = 3;
constexpr long stall_s = 60, connect_s = 30, redirects_most = 8;
constexpr size_t error_size = 256;

struct list;

struct library {
    int (*global_init)(long);
    void *(*init)();
    int (*set)(void *, int, ...);
    int (*perform)(void *);
    int (*info)(void *, int, ...);
    const char *(*error_text)(int);
    void (*cleanup)(void *);
    list *(*append)(list *, const char *);
    void (*free_all)(list *);
    bool is_there = false;
};

template <typename function> bool find(void *handle, const char *name, function &found) {
    void *symbol = plat_library_symbol(handle, name);
    memcpy(&found, &symbol, sizeof found);
    return symbol != nullptr;
}

library load() {
    library curl = {};
    void *handle = plat_library_open("libcurl.so.4");
    if (!handle) handle = plat_library_open("libcurl-gnutls.so.4");
    curl.is_there = handle && find(handle, "curl_global_init", curl.global_init) && find(handle, "curl_easy_init", curl.init) &&
                    find(handle, "curl_easy_setopt", curl.set) && find(handle, "curl_easy_perform", curl.perform) &&
                    find(handle, "curl_easy_getinfo", curl.info) && find(handle, "curl_easy_strerror", curl.error_text) &&
                    find(handle, "curl_easy_cleanup", curl.cleanup) && find(handle, "curl_slist_append", curl.append) &&
                    find(handle, "curl_slist_free_all", curl.free_all) && curl.global_init(global_all) == 0;
    return curl;
}

const library &the_library() {
    static const library curl = load();
    return curl;
}

/* One request while it is made. */
struct transfer {
    const web_request &request;
    web_reply reply;
    void *handle;
    std::exception_ptr thrown; /* by a callback: it must not pass through libcurl's frames */
};

/* Runs a callback's work; `otherwise` if it throws. */
template <typename function, typename result> result guarded(transfer &now, result otherwise, const function &work) {
    try {
        return work();
    } catch (...) {
        now.thrown = std::current_exception();
        return otherwise;
    }
}

uint64_t number(const std::string &text) {
    return isdigit(static_cast<unsigned char>(text[0])) ? strtoull(text.c_str(), nullptr, 10) : 0;
}

std::string without_quotes(std::string text) {
    if (text.rfind("W/", 0) == 0) text.erase(0, 2);
    text.erase(std::remove(text.begin(), text.end(), '"'), text.end());
    return text;
}

void take_field(web_reply &reply, const std::string &name, const std::string &value) {
    if (name == "etag") reply.etag = value;
    else if (name == "x-linked-etag") reply.linked_sum = without_quotes(value);
    else if (name == "content-length") reply.length = number(value);
    else if (name == "content-range" && value.rfind("bytes ", 0) == 0) reply.n_first = number(value.substr(6));
    else if (name == "retry-after" && isdigit(static_cast<unsigned char>(value[0])))
        reply.retry_after_s = static_cast<int>(std::min<uint64_t>(number(value), 1 << 20));
}

/* A line of the head. A new answer begins with "HTTP/". */
void take_line(web_reply &reply, const std::string &line) {
    size_t colon = line.find(':'), begin = line.find_first_not_of(" \t", colon + 1);
    if (line.rfind("HTTP/", 0) == 0) {
        std::string linked_sum = reply.linked_sum;
        reply = {};
        reply.linked_sum = linked_sum;
        reply.status = static_cast<long>(number(line.substr(std::min(line.find(' ') + 1, line.size()))));
    } else if (colon != std::string::npos && begin != std::string::npos) {
        std::string name = line.substr(0, colon), value = line.substr(begin, line.find_last_not_of(" \t\r\n") + 1 - begin);
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return tolower(c); });
        take_field(reply, name, value);
    }
}

size_t on_header(const char *bytes, size_t size, size_t n_items, void *user_data) {
    transfer &now = *static_cast<transfer *>(user_data);
    return guarded(now, size_t(0), [&] {
        take_line(now.reply, std::string(bytes, size * n_items));
        return size * n_items;
    });
}

size_t on_body(const char *bytes, size_t size, size_t n_items, void *user_data) {
    transfer &now = *static_cast<transfer *>(user_data);
    return guarded(now, size_t(0), [&] {
        bool is_wanted = !now.request.on_body || now.request.on_body(now.reply, bytes, size * n_items);
        now.reply.is_stopped = !is_wanted;
        return is_wanted ? size * n_items : 0;
    });
}

int on_progress(void *user_data, int64_t, int64_t, int64_t, int64_t) {
    transfer &now = *static_cast<transfer *>(user_data);
    return guarded(now, 1, [&] {
        if (now.request.go_on && !now.request.go_on()) now.reply.is_stopped = true;
        return now.reply.is_stopped ? 1 : 0;
    });
}

list *fields_of(const web_request &request) {
    const library &curl = the_library();
    list *fields = nullptr;
    if (!request.key.empty()) fields = curl.append(fields, ("Authorization: Bearer " + request.key).c_str());
    if (request.n_first > 0) fields = curl.append(fields, ("Range: bytes=" + std::to_string(request.n_first) + "-").c_str());
    if (request.n_first > 0 && !request.if_etag.empty()) fields = curl.append(fields, ("If-Range: " + request.if_etag).c_str());
    return fields;
}

void prepare(transfer &now, list *fields, char *error_text) {
    const library &curl = the_library();
    const web_request &request = now.request;
    void *handle = now.handle;
    bool is_secure = request.address.rfind("https://", 0) == 0;
    curl.set(handle, option_address, request.address.c_str());
    curl.set(handle, option_error_buffer, error_text);
    curl.set(handle, option_user_agent, "lipc");
    curl.set(handle, option_no_signal, 1L);
    curl.set(handle, option_follow_location, 1L);
    curl.set(handle, option_max_redirects, redirects_most);
    /* Nobody leads a request that began with TLS to where there is none, or to a file. */
    curl.set(handle, option_protocols, is_secure ? protocol_https : protocol_http | protocol_https);
    curl.set(handle, option_redirect_protocols, is_secure ? protocol_https : protocol_http | protocol_https);
    curl.set(handle, option_connect_timeout, connect_s);
    curl.set(handle, option_low_speed_limit, 1L);
    curl.set(handle, option_low_speed_time, stall_s);
    curl.set(handle, option_http_header, fields);
    curl.set(handle, option_header_function, on_header);
    curl.set(handle, option_header_data, &now);
    curl.set(handle, option_write_function, on_body);
    curl.set(handle, option_write_data, &now);
    curl.set(handle, option_no_progress, 0L);
    curl.set(handle, option_progress_function, on_progress);
    curl.set(handle, option_progress_data, &now);
    if (request.is_head) curl.set(handle, option_no_body, 1L);
    const char *certificates = plat_environment("CURL_CA_BUNDLE");
    if (!certificates) certificates = plat_environment("SSL_CERT_FILE");
    if (certificates && certificates[0]) curl.set(handle, option_certificates, certificates);
}

} // namespace

web_reply web_get(const web_request &request) {
    const library &curl = the_library();
    transfer now = {request, {}, curl.is_there ? curl.init() : nullptr, nullptr};
    if (!now.handle) {
        now.reply.failure = "libcurl cannot be loaded: install it (Debian: libcurl4)";
        return now.reply;
    }
    char error_text[error_size] = "";
    list *fields = fields_of(request);
    prepare(now, fields, error_text);
    int error = curl.perform(now.handle);
    if (error != 0) now.reply.failure = error_text[0] ? error_text : curl.error_text(error);
    curl.free_all(fields);
    curl.cleanup(now.handle);
    if (now.thrown) std::rethrow_exception(now.thrown);
    return now.reply;
}
