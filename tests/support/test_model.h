/* test_model.h - a made-up model for tests: it says every token of its vocabulary with the same probability. */
#ifndef LIPC_TESTS_TEST_MODEL_H
#define LIPC_TESTS_TEST_MODEL_H

/* Writes a GGUF file whose vocabulary is one token for each of the 256 bytes and `n_words` words of 40 to 200 bytes,
 * which mix characters of one to four bytes. Without words it babbles bytes, most of them no text; with many it fills a
 * response in a few hundred tokens. Ends the test program on failure. */
void test_model_write(const char *path, int n_words);

#endif
