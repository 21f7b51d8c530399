/* hub.hpp - what a model hub says of a repository, and which of its files are a model. The hub is the environment's
 * (models.h); what it says is checked before it becomes part of a path. All throw a fetch_error. */
#ifndef LLAMA_COMMON_HUB_HPP
#define LLAMA_COMMON_HUB_HPP

#include "fetch.hpp"

#include "../../../text/model_name.h"

#include <string>
#include <vector>

constexpr size_t hub_sum_digits = 64; /* of a large file; a small one has the digits of a commit */

struct hub_file {
    std::string path; /* stays within a folder, on every system */
    std::string sum;  /* in lower case */
    uint64_t size;
};

struct hub_listing {
    std::string branch, commit;
    std::vector<hub_file> files;
};

/* With a slash at its end. */
std::string hub_address();

/* The token for an address; "" for another server than the hub. */
std::string hub_key(const std::string &address, const fetch_watch &watch);

/* All files of the newest commit of "main", or of the first branch. */
hub_listing hub_list(const std::string &repository, fetch_watch &watch);

/* The model's files, the first one first, as llama.cpp chooses: the quantization that is asked for; otherwise Q4_K_M, Q8_0, or the
 * first model there is. */
std::vector<hub_file> hub_choose(const hub_listing &found, const model_name &name);

/* All files of a model of which this is one: itself, if it is not one of several. */
std::vector<std::string> model_parts(const std::string &path);

#endif
