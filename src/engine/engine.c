/* engine.c - what does not depend on the kind of engine: words. */
#include "engine.h"

const char *engine_end_text(engine_end end) {
    switch (end) {
    case ENGINE_END_NONE: return "running";
    case ENGINE_END_TURN: return "end of turn";
    case ENGINE_END_LIMIT: return "token limit";
    case ENGINE_END_CONTEXT: return "context full";
    case ENGINE_END_CANCELLED: return "cancelled";
    case ENGINE_END_FAILED: return "failed";
    }
    return "unknown";
}
