/* pattern.hpp - a regular expression of a JSON schema ("pattern") as the library's converter can bind it.
 *
 * The converter takes an expression for what stands between the quotes of a JSON text, as it is written there: with '.' or [^a] a
 * model could end the text in its middle, or break a line in it, and what it does not know it leaves out without a word that
 * reaches us. So what it is given here knows no '.', no short names of classes and no anchors but its own, and no class with
 * characters that must be escaped in JSON; these stand as their escapes. The texts that fit it fit the expression, decoded; not
 * every text that fits the expression can be said, as most of those with escapes in them.
 */
#ifndef LLAMA_COMMON_PATTERN_HPP
#define LLAMA_COMMON_PATTERN_HPP

#include <string>

/* Throws std::invalid_argument: what of it cannot be bound ("has a look-ahead ..."). */
std::string bindable_pattern(const std::string &pattern);

#endif
