/* fetch.hpp - one file from a server into a folder: under its own name only when it is whole and its sum is right. What has come
 * of it lies beside it until then, and is where the next try begins, whoever makes it. Of several processes that want the same
 * file one fetches it, and the others wait. */
#ifndef LLAMA_COMMON_FETCH_HPP
#define LLAMA_COMMON_FETCH_HPP

#include "models.h"

#include <filesystem>
#include <stdexcept>
#include <string>

/* Why a model cannot be had: a MODELS_E_* and a sentence. */
struct fetch_error : std::runtime_error {
    fetch_error(int code, const std::string &message) : std::runtime_error(message), code(code) {}
    int code;
};

struct fetch_file {
    std::string address;
    std::string shown;             /* how people know it */
    std::string key;               /* as web_request.key */
    std::filesystem::path path;    /* where it is to be */
    std::filesystem::path partial; /* ... and until it is whole; beside it */
    std::filesystem::path lock;
    std::string sum;               /* SHA-256, 64 lower-case digits; "": not known */
    std::string etag;              /* of the file that is wanted; "": any */
    std::filesystem::path etag_path; /* where that of the file which is there is kept; "": nowhere, there is only one */
    uint64_t size = 0;             /* 0: not known */
};

/* Tells the caller how far all files of a model are, and asks whether to go on. */
class fetch_watch {
  public:
    explicit fetch_watch(const models_options &options) : options(options) {}
    void expect(uint64_t n_bytes) { progress.n_total += n_bytes; }
    /* So much of the present file is there. False: no longer wanted. */
    bool is_at(uint64_t n_bytes);
    /* The file has all its bytes, and the next one begins. */
    void next(uint64_t n_bytes) { n_before += n_bytes; }
    bool go_on();
    /* Sleeps so long, unless it is no longer wanted: throws then. */
    void wait(uint64_t ms);
    void say(const std::string &line) const;

  private:
    void measure(uint64_t now_ns);

    const models_options &options;
    models_progress progress = {};
    bool is_wanted = true;
    uint64_t n_before = 0, asked_ns = 0, measured_ns = 0, n_measured = 0;
};

/* Returns when the file is there; its size is then known. Throws a fetch_error. */
void fetch(fetch_file &file, fetch_watch &watch);

/* What a status that is no success means; "" for one that may pass by itself. */
std::string fetch_refusal(long status, const std::string &shown, bool has_key);

#endif
