/* sha256.hpp - the sum by which a model hub names the content of a file (FIPS 180-4). */
#ifndef LLAMA_COMMON_SHA256_HPP
#define LLAMA_COMMON_SHA256_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

class sha256 {
  public:
    void add(const void *bytes, size_t n_bytes);
    /* 64 hexadecimal digits. Nothing can be added behind that. */
    std::string hex();

  private:
    void take_block(const uint8_t *block);

    std::array<uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<uint8_t, 64> rest = {};
    size_t n_rest = 0;
    uint64_t n_all = 0;
};

#endif
