/* embedded_answers.c - the embedded model, asked through the real host at temperature 0, gives the corpus's answer to at
 * least 95 of 100 phrasings it was trained on and to at least 50 of 100 that it was not; the guide's own questions are
 * among those it must know, with and without a system prompt.
 *
 * embedded_answers [phrasings of each kind] [seed]
 */
#include "../support/harness.h"

#include "../../models/train/corpus.h"
#include "lipc/lipc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lipc_classic *host_handle;
static struct corpus corpus, off_topic, held_out;
static struct corpus_lines system_prompts;

static void load(struct corpus *into, const char *file) {
    char path[4096], name[64], error[256];
    snprintf(name, sizeof name, "corpus/%s", file);
    CHECK_SAY(corpus_load(into, test_model_path(path, name), error, sizeof error) == 0, "%s", error);
}

/* Whether the host answers as the corpus does. */
static bool knows(const char *system_prompt, const char *question, const char *answer) {
    lipc_classic_result result;
    int error = lipc_classic_request(host_handle, system_prompt, question, (int)test_scaled(20000), &result);
    CHECK_SAY(error == 0, "'%s': %s", question, lipc_error_message());
    CHECK_SAY(result.n_bytes > 0 && test_is_utf8(result.text, result.n_bytes), "'%s' has no readable answer", question);
    bool right = strcmp(result.text, answer) == 0;
    if (!right) printf("  missed: %s\n     got: %.100s\n", question, result.text);
    return right;
}

static const char *any_system_prompt(uint64_t *seed) {
    uint32_t i = test_random(seed, (uint32_t)system_prompts.n_lines + 1);
    return i == 0 ? NULL : system_prompts.lines[i - 1];
}

/* The share, in percent, of `n` phrasings drawn from `from` that are answered as `corpus` says. */
static int share_known(const struct corpus *from, int n, uint64_t *seed) {
    int n_right = 0;
    for (int i = 0; i < n; i++) {
        const struct corpus_entry *entry = &from->entries[test_random(seed, (uint32_t)from->n_entries)];
        const char *phrasing = entry->phrasings[test_random(seed, (uint32_t)entry->n_phrasings)];
        const struct corpus_entry *meant = corpus_find(&corpus, entry->id);
        if (!meant) meant = corpus_find(&off_topic, entry->id);
        CHECK_SAY(meant, "'%s' is in no corpus", entry->id);
        n_right += knows(any_system_prompt(seed), phrasing, meant->answer);
    }
    return 100 * n_right / n;
}

static const struct corpus_entry *entry_of(const char *phrasing) {
    for (int i = 0; i < corpus.n_entries; i++)
        for (int p = 0; p < corpus.entries[i].n_phrasings; p++)
            if (strcmp(corpus.entries[i].phrasings[p], phrasing) == 0) return &corpus.entries[i];
    test_fail(__FILE__, __LINE__, "the guide's question '%s' is not in the corpus", phrasing);
}

static void check_questions_of_the_guide(void) {
    static const char *const questions[] = {"What is C++?", "Explain C++ pointers in detail", "Explain pointers in C++",
                                            "Your question here"};
    static const char *const prompts[] = {NULL, "You are a helpful tutor", "You are my best assistance."};
    for (size_t q = 0; q < sizeof questions / sizeof questions[0]; q++)
        for (size_t p = 0; p < sizeof prompts / sizeof prompts[0]; p++)
            CHECK_SAY(knows(prompts[p], questions[q], entry_of(questions[q])->answer), "'%s' after '%s'", questions[q],
                      prompts[p] ? prompts[p] : "no system prompt");
}

int main(int argc, char *argv[]) {
    int n = argc > 1 ? atoi(argv[1]) : 100;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char instance[64], path[4096], error[256];
    test_host host;
    test_begin("embedded_answers", 170);
    load(&corpus, "questions.txt");
    load(&off_topic, "off_topic.txt");
    load(&held_out, "held_out.txt");
    CHECK_SAY(corpus_lines_load(&system_prompts, test_model_path(path, "corpus/system_prompts.txt"), error,
                                sizeof error) == 0, "%s", error);
    CHECK_INT(corpus.n_entries, >=, 100);

    test_instance(instance, "model");
    host_start(&host, instance, "--temp", "0", "--log-level", "error", NULL);
    CHECK(lipc_classic_open(instance, &host_handle) == 0);
    CHECK_SAY(lipc_classic_connect(host_handle, (int)test_scaled(20000)) == 0, "%s", lipc_error_message());

    test_step("the guide's questions");
    check_questions_of_the_guide();
    test_step("%d trained phrasings", n);
    int trained = share_known(&corpus, n, &seed);
    test_step("%d phrasings that were held out", n);
    int unseen = share_known(&held_out, n, &seed);
    printf("right: %d %% of the trained phrasings, %d %% of those held out\n", trained, unseen);
    CHECK_INT(trained, >=, 95);
    CHECK_INT(unseen, >=, 50);

    lipc_classic_close(host_handle);
    host_stop(&host);
    corpus_free(&corpus);
    corpus_free(&off_topic);
    corpus_free(&held_out);
    corpus_lines_free(&system_prompts);
    return test_end();
}
