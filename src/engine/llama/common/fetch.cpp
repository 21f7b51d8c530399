/* fetch.cpp - see fetch.hpp. */
#include "fetch.hpp"
#include "sha256.hpp"
#include "web.hpp"

#include "../../../platform/platform.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>

namespace fs = std::filesystem;

namespace {

constexpr int tries_most = 5;                   /* in a row that bring nothing */
constexpr int wait_most_s = 300;                /* that a server may ask for */
constexpr uint64_t ask_ns = 50000000, measure_ns = 1000000000, poll_ms = 100;
constexpr size_t buffer_size = 1 << 16;

[[noreturn]] void fail(const std::string &message) {
    throw fetch_error(MODELS_E_FAILED, message);
}

[[noreturn]] void cancel() {
    throw fetch_error(MODELS_E_CANCELLED, "cancelled; what has come is kept for the next try");
}

struct closer {
    void operator()(FILE *file) const { fclose(file); }
};

struct lock_closer {
    void operator()(plat_file_lock *lock) const { plat_file_lock_release(lock); }
};

using lock_ptr = std::unique_ptr<plat_file_lock, lock_closer>;

uint64_t size_of(const fs::path &path) {
    std::error_code error;
    uint64_t size = fs::file_size(path, error);
    return error ? 0 : size;
}

/* What has come of a file, and what is still to come. */
struct partial {
    fetch_file &file;
    fetch_watch &watch;
    std::unique_ptr<FILE, closer> stream;
    std::unique_ptr<sha256> sum;
    uint64_t n_bytes = 0, n_found = 0;
    std::string failure; /* to write it */

    partial(fetch_file &file, fetch_watch &watch) : file(file), watch(watch) {}
    void open();
    void restart();
    bool add(const char *bytes, size_t n);
    void complete();
};

/* Takes up what an earlier try has left. */
void partial::open() {
    std::string path = file.partial.string(), buffer(buffer_size, 0);
    if (!file.sum.empty()) sum = std::make_unique<sha256>();
    n_bytes = 0;
    stream.reset(plat_file_open(path.c_str(), "rb"));
    for (size_t n; stream && (n = fread(&buffer[0], 1, buffer.size(), stream.get())) > 0; n_bytes += n) {
        if (sum) sum->add(buffer.data(), n);
        if (!watch.is_at(n_bytes)) cancel();
    }
    n_found = n_bytes;
    stream.reset(plat_file_open(path.c_str(), "ab"));
    if (!stream) fail("cannot write " + path + ": " + strerror(errno));
}

void partial::restart() {
    stream.reset();
    std::error_code error;
    fs::remove(file.partial, error);
    open();
}

bool partial::add(const char *bytes, size_t n) {
    if (fwrite(bytes, 1, n, stream.get()) != n) {
        failure = "cannot write " + file.partial.string() + ": " + strerror(errno);
        return false;
    }
    if (sum) sum->add(bytes, n);
    n_bytes += n;
    return file.size == 0 || n_bytes <= file.size;
}

/* Gives it its name, if it is what was wanted. */
void partial::complete() {
    if (file.size > 0 && n_bytes != file.size)
        fail(file.shown + " has " + std::to_string(n_bytes) + " bytes instead of " + std::to_string(file.size));
    std::string found = sum ? sum->hex() : "";
    if (found != file.sum) {
        restart();
        fail(file.shown + " came damaged: its sum is " + found + " instead of " + file.sum + ". Nothing of it is kept");
    }
    if (fflush(stream.get()) != 0 || plat_file_sync(stream.get()) < 0)
        fail("cannot write " + file.partial.string() + ": " + strerror(errno));
    stream.reset();
    std::error_code error;
    if (size_of(file.partial) != n_bytes) {
        restart();
        fail("what came of " + file.shown + " is not in its file: somebody else writes there, or the disk failed");
    }
    fs::rename(file.partial, file.path, error);
    if (error) fail("cannot rename " + file.partial.string() + ": " + error.message());
    if (!file.etag_path.empty()) std::ofstream(file.etag_path) << file.etag;
    file.size = n_bytes;
}

/* The status allows a body, from where we are. */
bool begin_body(partial &part, const web_reply &reply) {
    if (reply.status == 200 && part.n_bytes > 0) part.restart(); /* the server gives the whole, or it is another one now */
    bool fits = reply.status == 200 || (reply.status == 206 && reply.n_first == part.n_bytes);
    if (fits && part.file.size == 0 && reply.length > 0) {
        part.file.size = part.n_bytes + reply.length;
        part.watch.expect(part.file.size);
    }
    return fits;
}

web_reply get(partial &part) {
    bool has_begun = false;
    web_request request;
    request.address = part.file.address;
    request.key = part.file.key;
    request.n_first = part.n_bytes;
    request.if_etag = part.file.etag;
    request.on_body = [&](const web_reply &reply, const char *bytes, size_t n) {
        if (!has_begun && !begin_body(part, reply)) return false;
        has_begun = true;
        return part.add(bytes, n) && part.watch.is_at(part.n_bytes);
    };
    request.go_on = [&] { return part.watch.is_at(part.n_bytes); };
    web_reply reply = web_get(request);
    if (fflush(part.stream.get()) != 0 && part.failure.empty())
        part.failure = "cannot write " + part.file.partial.string() + ": " + strerror(errno);
    if (!part.watch.go_on()) cancel();
    if (!part.failure.empty()) fail(part.failure);
    return reply;
}

/* Before the next try: as long as the server asks for, otherwise longer each time. */
void pause(partial &part, const web_reply &reply, int n_fruitless) {
    std::string why = reply.failure.empty() || reply.status >= 400 ? "status " + std::to_string(reply.status) : reply.failure;
    if (n_fruitless >= tries_most) fail(part.file.shown + " cannot be fetched: " + why + "; what has come is kept for the next try");
    int wait_s = reply.retry_after_s >= 0 ? reply.retry_after_s : 1 << std::max(n_fruitless - 1, 0);
    if (wait_s > wait_most_s) fail("the server asks to come back after " + std::to_string(wait_s) + " s for " + part.file.shown);
    part.watch.say(part.file.shown + ": " + why + "; again in " + std::to_string(wait_s) + " s, from byte " + std::to_string(part.n_bytes));
    part.watch.wait(static_cast<uint64_t>(wait_s) * 1000);
}

bool is_whole(const partial &part, const web_reply &reply) {
    bool is_success = reply.status == 200 || reply.status == 206;
    return part.file.size > 0 ? part.n_bytes == part.file.size : is_success && reply.failure.empty();
}

void check_room(const partial &part) {
    std::error_code error;
    fs::space_info space = fs::space(part.file.partial.parent_path(), error);
    uint64_t n_needed = part.file.size > part.n_bytes ? part.file.size - part.n_bytes : 0;
    if (!error && space.available < n_needed)
        fail("no room for " + part.file.shown + ": it needs " + std::to_string(n_needed >> 20) + " MiB more, and " +
             part.file.partial.parent_path().string() + " has " + std::to_string(space.available >> 20));
}

void transfer(partial &part) {
    int n_fruitless = 0;
    while (part.file.size == 0 || part.n_bytes != part.file.size) {
        uint64_t n_before = part.n_bytes;
        if (part.file.size > 0 && part.n_bytes > part.file.size) part.restart();
        /* Nothing would tell that it is another version by now. */
        if (part.n_bytes > 0 && part.file.sum.empty() && part.file.etag.empty()) part.restart();
        check_room(part);
        web_reply reply = get(part);
        if (is_whole(part, reply)) return;
        std::string refusal = fetch_refusal(reply.status, part.file.shown, !part.file.key.empty());
        if (reply.status == 416) part.restart();
        else if (!refusal.empty()) throw fetch_error(reply.status == 404 ? MODELS_E_MISSING : MODELS_E_FAILED, refusal);
        n_fruitless = part.n_bytes > n_before ? 1 : n_fruitless + 1;
        pause(part, reply, n_fruitless);
    }
}

bool is_there(const fetch_file &file) {
    std::error_code error;
    std::string etag;
    if (!file.etag_path.empty()) std::getline(std::ifstream(file.etag_path), etag);
    return fs::exists(file.path, error) && etag == (file.etag_path.empty() ? "" : file.etag);
}

lock_ptr take_lock(const fetch_file &file, fetch_watch &watch) {
    plat_file_lock *lock;
    bool is_said = false;
    for (;;) {
        int error = plat_file_lock_take(file.lock.string().c_str(), &lock);
        if (error == PLAT_OK) return lock_ptr(lock);
        if (error != PLAT_E_OWNED) fail("cannot lock " + file.lock.string() + ": " + plat_os_error());
        if (!is_said) watch.say("another process fetches " + file.shown + ": waiting for it");
        is_said = true;
        if (!watch.is_at(size_of(file.partial))) cancel();
        watch.wait(poll_ms);
    }
}

} // namespace

/* ---- the watch ------------------------------------------------------------------------------------------------------- */

void fetch_watch::measure(uint64_t now_ns) {
    if (measured_ns == 0 || progress.n_done < n_measured) {
        measured_ns = now_ns;
        n_measured = progress.n_done;
    } else if (now_ns - measured_ns >= measure_ns) {
        progress.per_second = static_cast<uint64_t>(static_cast<double>(progress.n_done - n_measured) * 1e9 /
                                                    static_cast<double>(now_ns - measured_ns));
        measured_ns = now_ns;
        n_measured = progress.n_done;
    }
}

bool fetch_watch::is_at(uint64_t n_bytes) {
    progress.n_done = n_before + n_bytes;
    return go_on();
}

bool fetch_watch::go_on() {
    uint64_t now_ns = plat_clock_ns();
    if (now_ns - asked_ns < ask_ns && asked_ns != 0) return is_wanted;
    asked_ns = now_ns;
    measure(now_ns);
    return is_wanted = !options.go_on || options.go_on(options.user_data, &progress);
}

void fetch_watch::wait(uint64_t ms) {
    for (uint64_t end_ns = plat_clock_ns() + ms * 1000000; plat_clock_ns() < end_ns;) {
        if (!go_on()) cancel();
        std::this_thread::sleep_for(std::chrono::milliseconds(std::min(ms, poll_ms)));
    }
}

void fetch_watch::say(const std::string &line) const {
    if (options.say) options.say(options.user_data, line.c_str());
}

/* ---- a file ------------------------------------------------------------------------------------------------------------ */

std::string fetch_refusal(long status, const std::string &shown, bool has_key) {
    const std::string number = "status " + std::to_string(status);
    switch (status) {
    case 401:
    case 403:
        return has_key ? "the server does not give " + shown + " to this HF_TOKEN (" + number + "): are the model's terms accepted?"
                       : "the server wants to know who asks for " + shown + " (" + number + "): set HF_TOKEN";
    case 404: return "there is no " + shown + " on the server (" + number + ")";
    case 408:
    case 416:
    case 429: return "";
    default: return status >= 300 && status < 500 ? "the server does not give " + shown + " (" + number + ")" : "";
    }
}

void fetch(fetch_file &file, fetch_watch &watch) {
    std::error_code error;
    fs::create_directories(file.path.parent_path(), error);
    fs::create_directories(file.lock.parent_path(), error);
    lock_ptr lock = take_lock(file, watch);
    bool is_cut = file.etag_path.empty() && file.size > 0 && fs::exists(file.path, error) && size_of(file.path) != file.size;
    if (is_cut) fs::remove(file.path, error); /* by somebody: under this name there is only the whole */
    if (is_there(file)) { /* another process was faster */
        file.size = size_of(file.path);
        return;
    }
    partial part(file, watch);
    part.open();
    for (bool is_again = false;; is_again = true) {
        transfer(part);
        bool was_resumed = part.n_found > 0;
        try {
            part.complete();
            return;
        } catch (const fetch_error &failure) {
            if (is_again || !was_resumed || part.n_bytes > 0) throw;
            watch.say(std::string(failure.what()) + "; once more from its beginning");
        }
    }
}
