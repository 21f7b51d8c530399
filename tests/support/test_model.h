/* test_model.h - made-up models for tests: one says every token of its vocabulary with the same probability, one a text. */
#ifndef LIPC_TESTS_TEST_MODEL_H
#define LIPC_TESTS_TEST_MODEL_H

/* Writes a GGUF file whose vocabulary is one token for each of the 256 bytes and `n_words` words of 40 to 200 bytes,
 * which mix characters of one to four bytes. Without words it babbles bytes, most of them no text; with many it fills a
 * response in a few hundred tokens. Ends the test program on failure. */
void test_model_write(const char *path, int n_words);

/* One that says this text, whatever it is asked, and ends: pieces up to NULL, each another one, each a token. Its vocabulary is
 * these and the 256 bytes. */
#define TEST_MODEL_PIECES 63
void test_model_write_saying(const char *path, const char *const *pieces);

#endif
