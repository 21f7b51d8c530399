/* parameter_rules.c - src/channel/parameters.h: setting by name, bounds, and the way through the segment; with a table that
 * has a row of each kind at its end, as a new parameter's would be. */
#include "lipc/parameters.h"

#undef LIPC_NAMED_SAMPLING_MAP
#define LIPC_NAMED_SAMPLING_MAP(X)                                                                                     \
    X(new_real, REAL, -1, 2.5, "0", "a number", NULL, "--new-real", NULL, "R", NULL, true)                             \
    X(new_integer, INTEGER, 0, 9, "0", "a whole number", NULL, "--new-integer", NULL, "N", NULL, true)                 \
    X(new_text, TEXT, 1, 8, NULL, "a text", NULL, "--new-text", NULL, "TEXT", NULL, true)

#include "channel/parameters.c"

#include "../support/harness.h"

static char message[PARAMETERS_MESSAGE_SIZE];

static lipc_request with(const lipc_parameter *list, int32_t n) {
    lipc_request request = {.parameters = list, .n_parameters = n};
    parameters unset;
    parameters_init(&unset);
#define UNSET_FIELD(name, ...) request.name = unset.name;
    LIPC_HEADER_PARAMETER_MAP(UNSET_FIELD)
#undef UNSET_FIELD
    return request;
}

static void refuse_one(lipc_parameter given, const char *words) {
    parameters values;
    lipc_request request = with(&given, 1);
    message[0] = 0;
    CHECK_SAY(!parameters_take(&values, &request, message), "%s was taken", given.name);
    CHECK_SAY(strstr(message, words) && test_is_utf8(message, strlen(message)), "'%s' does not say '%s'", message, words);
}

static void refuse_item(const char *text, const char *words) {
    parameters values;
    parameters_init(&values);
    message[0] = 0;
    CHECK_SAY(!parameters_read_item(&values, text, message), "'%s' was taken", text);
    CHECK_SAY(strstr(message, words) && test_is_utf8(message, strlen(message)), "'%s' does not say '%s'", message, words);
}

static void check_names(void) {
    parameters values;
    test_step("by name, or by field; the name wins");
    const lipc_parameter list[] = {{"new_real", 0.8, NULL}, {"new_integer", 9, NULL}, {"new_text", 0, "ü,=x"},
                                   {"temperature", 0.5, NULL}, {"seed", 4294967294, NULL}, {"n_predict", -1, NULL}};
    lipc_request request = with(list, 6);
    request.temperature = 0.9f;
    request.top_k = 7;
    CHECK_SAY(parameters_take(&values, &request, message), "%s", message);
    CHECK(values.new_real == 0.8f && values.new_integer == 9 && values.temperature == 0.5f && values.top_k == 7);
    CHECK(values.seed == 4294967294 && values.n_predict == -1);
    CHECK_TEXT(values.new_text, "ü,=x");
    CHECK(isnan(values.min_p) && values.repeat_last_n == LIPC_INT_DEFAULT);

    lipc_parameter listed[PARAMETERS_COUNT];
    CHECK_INT(parameters_list(&values, listed), ==, 7);

    test_step("what is refused");
    refuse_one((lipc_parameter){NULL, 1, NULL}, "no name");
    refuse_one((lipc_parameter){"new_reel", 1, NULL}, "no parameter 'new_reel'");
    refuse_one((lipc_parameter){"new\x1b[m", 1, NULL}, "no parameter 'new?[m'");
    refuse_one((lipc_parameter){"\x1f ~\x7f", 1, NULL}, "no parameter '? ~?'");
    refuse_one((lipc_parameter){"thirty-one letters, and no more; these are not shown", 1, NULL},
               "no parameter 'thirty-one letters, and no more':");
    refuse_one((lipc_parameter){"new_real", 2.6, NULL}, "from -1 to 2.5");
    refuse_one((lipc_parameter){"new_real", INFINITY, NULL}, "from -1 to 2.5");
    refuse_one((lipc_parameter){"new_real", NAN, NULL}, "not a number");
    refuse_one((lipc_parameter){"new_real", 0, "0"}, "number, and not a text");
    refuse_one((lipc_parameter){"new_integer", 1.5, NULL}, "whole number");
    refuse_one((lipc_parameter){"new_integer", 10, NULL}, "from 0 to 9");
    refuse_one((lipc_parameter){"new_text", 1, NULL}, "is a text");
    refuse_one((lipc_parameter){"new_text", 0, ""}, "0 bytes: expected 1 to 8");
    refuse_one((lipc_parameter){"new_text", 0, "123456789"}, "9 bytes");
    refuse_one((lipc_parameter){"new_text", 0, "\xff"}, "UTF-8");
    refuse_one((lipc_parameter){"top_k", (double)LIPC_INT_DEFAULT, NULL}, "top_k");
    request = with(NULL, 1);
    CHECK(!parameters_take(&values, &request, message));
    request = with(list, -1);
    CHECK(!parameters_take(&values, &request, message));
}

static void check_items(void) {
    static const double reals[] = {0, -1, 2.5, 0.1, 1e-7, -0.3333333333, 1.0 / 3};
    parameters values, read_back;
    char text[64];
    test_step("what is written is what is read");
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        parameters_init(&values);
        parameters_init(&read_back);
        values.new_real = (float)reals[i];
        values.temperature = 1; /* has its field in the header */
        size_t length = parameters_item(&values, 0, text, sizeof text);
        CHECK(length > 0 && length == strlen(text) && parameters_item(&values, 1, NULL, 0) == 0);
        CHECK_SAY(parameters_read_item(&read_back, text, message), "%s: %s", text, message);
        CHECK_SAY(read_back.new_real == values.new_real, "%s", text);
    }
    parameters_init(&values);
    values.new_integer = 3;
    values.new_text = "a=b";
    CHECK_INT(parameters_item(&values, 0, text, sizeof text), ==, strlen("new_integer=3"));
    CHECK_TEXT(text, "new_integer=3");
    parameters_item(&values, 1, text, sizeof text);
    CHECK_TEXT(text, "new_text=a=b");
    CHECK(parameters_read_item(&read_back, text, message) && strcmp(read_back.new_text, "a=b") == 0);
    CHECK(parameters_read_item(&read_back, "top_p=0.5", message) && read_back.top_p == 0.5f);

    test_step("a locale's decimal point");
    char comma[] = "-1,25e-07", arabic[] = "0\u066b5";
    use_point(comma);
    use_point(arabic);
    CHECK_TEXT(comma, "-1.25e-07");
    CHECK_TEXT(arabic, "0.5");

    test_step("items that are refused");
    refuse_item("", "no parameter ''");
    refuse_item("=1", "no parameter ''");
    refuse_item("new_real", "has no value");
    refuse_item("new_real=", "not a decimal number");
    refuse_item("new_real=1,5", "not a decimal number");
    refuse_item("new_real=nan", "not a decimal number");
    refuse_item("new_real=0x1", "not a decimal number");
    refuse_item("new_real= 1", "not a decimal number");
    refuse_item("new_real=1e999", "from -1 to 2.5");
    refuse_item("new_real=1e", "not a decimal number");
    refuse_item("new_real=00000000000000000000000000000001", "not a decimal number");
    refuse_item("new_integer=1.5", "whole number");
    refuse_item("new_integer=-1", "from 0 to 9");
    refuse_item("new_text=", "0 bytes");
}

int main(void) {
    test_begin("parameter_rules", 10);
    check_names();
    check_items();
    return test_end();
}
