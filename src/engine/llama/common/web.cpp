/* web.cpp - see web.hpp. */
#include "web.hpp"

#include "../../../platform/platform.h"
#include "../../../web/curl.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

constexpr long stall_s = 60, connect_s = 30, redirects_most = 8;

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

curl_list *fields_of(const curl_library &curl, const web_request &request) {
    curl_list *fields = nullptr;
    if (!request.key.empty()) fields = curl.list_add(fields, ("Authorization: Bearer " + request.key).c_str());
    if (request.n_first > 0) fields = curl.list_add(fields, ("Range: bytes=" + std::to_string(request.n_first) + "-").c_str());
    if (request.n_first > 0 && !request.if_etag.empty()) fields = curl.list_add(fields, ("If-Range: " + request.if_etag).c_str());
    return fields;
}

void prepare(const curl_library &curl, transfer &now, curl_list *fields, char *error_text) {
    const web_request &request = now.request;
    void *handle = now.handle;
    bool is_secure = request.address.rfind("https://", 0) == 0;
    curl.easy_set(handle, CURL_SET_ADDRESS, request.address.c_str());
    curl.easy_set(handle, CURL_SET_ERROR_BUFFER, error_text);
    curl.easy_set(handle, CURL_SET_USER_AGENT, "lipc");
    curl.easy_set(handle, CURL_SET_NO_SIGNAL, 1L);
    curl.easy_set(handle, CURL_SET_FOLLOW, 1L);
    curl.easy_set(handle, CURL_SET_MAX_REDIRECTS, redirects_most);
    /* Nobody leads a request that began with TLS to where there is none, or to a file. */
    curl.easy_set(handle, CURL_SET_PROTOCOLS, is_secure ? CURL_PROTOCOL_HTTPS : CURL_PROTOCOL_HTTP | CURL_PROTOCOL_HTTPS);
    curl.easy_set(handle, CURL_SET_REDIRECT_PROTOCOLS, is_secure ? CURL_PROTOCOL_HTTPS : CURL_PROTOCOL_HTTP | CURL_PROTOCOL_HTTPS);
    curl.easy_set(handle, CURL_SET_CONNECT_TIMEOUT, connect_s);
    curl.easy_set(handle, CURL_SET_LOW_SPEED_LIMIT, 1L);
    curl.easy_set(handle, CURL_SET_LOW_SPEED_TIME, stall_s);
    curl.easy_set(handle, CURL_SET_FIELDS, fields);
    curl.easy_set(handle, CURL_SET_HEADER_FUNCTION, on_header);
    curl.easy_set(handle, CURL_SET_HEADER_DATA, &now);
    curl.easy_set(handle, CURL_SET_WRITE_FUNCTION, on_body);
    curl.easy_set(handle, CURL_SET_WRITE_DATA, &now);
    curl.easy_set(handle, CURL_SET_NO_PROGRESS, 0L);
    curl.easy_set(handle, CURL_SET_PROGRESS_FUNCTION, on_progress);
    curl.easy_set(handle, CURL_SET_PROGRESS_DATA, &now);
    if (request.is_head) curl.easy_set(handle, CURL_SET_NO_BODY, 1L);
    const char *certificates = plat_environment("CURL_CA_BUNDLE");
    if (!certificates) certificates = plat_environment("SSL_CERT_FILE");
    if (certificates && certificates[0]) curl.easy_set(handle, CURL_SET_CERTIFICATES, certificates);
}

} // namespace

web_reply web_get(const web_request &request) {
    const curl_library *loaded = curl_load();
    transfer now = {request, {}, loaded ? loaded->easy_new() : nullptr, nullptr};
    if (!now.handle) {
        now.reply.failure = "libcurl cannot be loaded: install it (Debian: libcurl4)";
        return now.reply;
    }
    const curl_library &curl = *loaded;
    char error_text[CURL_ERROR_SIZE] = "";
    curl_list *fields = fields_of(curl, request);
    prepare(curl, now, fields, error_text);
    int error = curl.easy_perform(now.handle);
    if (error != 0) now.reply.failure = error_text[0] ? error_text : curl.error_text(error);
    curl.list_free(fields);
    curl.easy_free(now.handle);
    if (now.thrown) std::rethrow_exception(now.thrown);
    return now.reply;
}
