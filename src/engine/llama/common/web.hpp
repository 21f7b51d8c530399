/* web.hpp - requests over HTTP and TLS, by libcurl. The library is loaded when the first request is made: a host that fetches
 * nothing needs none (docs/decisions/0019). Its proxies and certificates are the usual ones: http_proxy, https_proxy,
 * no_proxy, and SSL_CERT_FILE or CURL_CA_BUNDLE. */
#ifndef LLAMA_COMMON_WEB_HPP
#define LLAMA_COMMON_WEB_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

/* What came back. Of the last answer, if the server led elsewhere. */
struct web_reply {
    long status = 0;         /* 0: none came */
    std::string failure;     /* why it broke off, or never came; "" if it is whole */
    bool is_stopped = false; /* by on_body or go_on */
    std::string etag;
    std::string linked_sum;  /* what the hub says of a file that lies elsewhere, also when it leads there */
    uint64_t n_first = 0;    /* with status 206: of the first byte that came */
    uint64_t length = 0;     /* of the body; 0: not said */
    int retry_after_s = -1;  /* -1: not said */
};

struct web_request {
    std::string address;
    std::string key;         /* for this server alone: not sent to where it leads; "" for none */
    bool is_head = false;    /* only what is said before the body */
    uint64_t n_first = 0;    /* from this byte on */
    std::string if_etag;     /* ... if the file is still this one; "" for anyway */
    /* A piece of the body; false: enough. The reply is known except for its failure. */
    std::function<bool(const web_reply &, const char *bytes, size_t n_bytes)> on_body;
    /* Asked about every second, and more often while bytes come; false: no longer wanted. */
    std::function<bool()> go_on;
};

/* Waits until the reply is whole, or is no longer wanted. A server that sends nothing for a minute has failed. */
web_reply web_get(const web_request &request);

#endif
