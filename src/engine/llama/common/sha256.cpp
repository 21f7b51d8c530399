/* sha256.cpp - see sha256.hpp. */
#include "sha256.hpp"

#include <algorithm>
#include <cstring>

namespace {

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
constexpr uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

uint32_t turned(uint32_t word, int n_bits) {
    return word >> n_bits | word << (32 - n_bits);
}

} // namespace

void sha256::take_block(const uint8_t *block) {
    uint32_t words[64];
    for (int i = 0; i < 16; i++)
        words[i] = static_cast<uint32_t>(block[4 * i]) << 24 | static_cast<uint32_t>(block[4 * i + 1]) << 16 |
                   static_cast<uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = words[i - 15], b = words[i - 2];
        words[i] = words[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + words[i - 7] + (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
    }
    std::array<uint32_t, 8> s = state;
    for (int i = 0; i < 64; i++) {
        uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]), majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        uint32_t one = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) + choice + constants[i] + words[i];
        uint32_t two = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) + majority;
        std::copy_backward(s.begin(), s.end() - 1, s.end());
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

void sha256::add(const void *bytes, size_t n_bytes) {
    const uint8_t *at = static_cast<const uint8_t *>(bytes);
    n_all += n_bytes;
    while (n_bytes > 0) {
        if (n_rest == 0 && n_bytes >= rest.size()) {
            take_block(at);
            at += rest.size();
            n_bytes -= rest.size();
            continue;
        }
        size_t n = std::min(rest.size() - n_rest, n_bytes);
        memcpy(rest.data() + n_rest, at, n);
        n_rest += n;
        at += n;
        n_bytes -= n;
        if (n_rest < rest.size()) continue;
        take_block(rest.data());
        n_rest = 0;
    }
}

std::string sha256::hex() {
    static const char digits[] = "0123456789abcdef";
    const uint64_t n_bits = n_all * 8;
    const uint8_t mark = 0x80, zero = 0;
    add(&mark, 1);
    while (n_rest != 56) add(&zero, 1);
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint8_t byte = static_cast<uint8_t>(n_bits >> shift);
        add(&byte, 1);
    }
    std::string text;
    for (uint32_t word : state)
        for (int shift = 28; shift >= 0; shift -= 4) text += digits[word >> shift & 15];
    return text;
}
