/* schema.cpp - the library's converter, with its errors as sentences. */
#include "schema.h"

#include "json-schema-to-grammar.h"

#include <cstdio>
#include <cstring>
#include <exception>

char *schema_to_grammar(const char *schema, char *message, size_t message_size) {
    try {
        return strdup(json_schema_to_grammar(common_json::parse(schema)).c_str());
    } catch (const std::exception &error) {
        snprintf(message, message_size, "the JSON schema cannot be used: %s", error.what());
        return nullptr;
    }
}
