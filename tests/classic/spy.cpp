// Answers for libnvinfer, libnvonnxparser and libnvinfer_plugin (and for TensorRT-RTX's two) and tells
// which slot of which class's table of virtual functions every call reaches: see spy.py.
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <unistd.h>
#include <utility>

namespace {

using Word = std::uintptr_t;
constexpr int kSlots = 160;

struct Body {  // what the bindings call: a table, and here the class's number behind it
    void** table;
    int kind;
};
struct Object {  // what they hold; a "direct" object is its own body
    void** table;
    Body* body[3];
};
struct Call {  // as spy.py reads it
    int kind, slot, hidden;
};

std::set<Body*> bodies;
std::map<std::pair<int, int>, std::pair<int, bool>> answers;  // class and slot to a class, direct
int log_to = -1;
void nothing() {}
void* lifeless[16];

template <int Slot> Word spied(Word a, Word b, Word, Word, Word, Word);
template <int... Slots> void** make_table(std::integer_sequence<int, Slots...>) {
    static void* table[] = {reinterpret_cast<void*>(&spied<Slots>)...};
    return table;
}
void** table() { return make_table(std::make_integer_sequence<int, kSlots>()); }

void* make(int kind, bool direct) {
    auto* body = new Body{table(), kind};
    bodies.insert(body);
    if (direct) return body;
    for (void*& entry : lifeless) entry = reinterpret_cast<void*>(nothing);
    return new Object{lifeless, {body, body, body}};
}

// A function that returns a struct has its address before `this`
template <int Slot> Word spied(Word a, Word b, Word, Word, Word, Word) {
    const bool hidden = bodies.count(reinterpret_cast<Body*>(a)) == 0;
    const int kind = reinterpret_cast<Body*>(hidden ? b : a)->kind;
    const Call call{kind, Slot, hidden};
    if (log_to >= 0 && write(log_to, &call, sizeof call) < 0) _exit(1);
    if (hidden) {
        std::memset(reinterpret_cast<void*>(a), 0, 24);
        return a;
    }
    const auto answer = answers.find({kind, Slot});
    return answer == answers.end() ? 0 : reinterpret_cast<Word>(make(answer->second.first, answer->second.second));
}

}  // namespace

extern "C" {
void spy_log(int descriptor) { log_to = descriptor; }
void spy_answer(int kind, int slot, int made, int direct) { answers[{kind, slot}] = {made, direct != 0}; }
// The numbers are those of KINDS in spy.py
void* createInferBuilder_INTERNAL(void*, int) { return make(0, false); }
void* createInferRuntime_INTERNAL(void*, int) { return make(1, false); }
void* createNvOnnxParser_INTERNAL(void*, void*, int) { return make(2, true); }
void* createInferRefitter_INTERNAL(void*, void*, int) { return nullptr; }
void* createNvOnnxParserRefitter_INTERNAL(void*, void*, int) { return nullptr; }
int getNvOnnxParserVersion() { return 0; }
int getInferLibVersion() { return 0; }
void* getLogger() { return nullptr; }
void* getPluginRegistry() {
    static void* registry = make(99, true);
    return registry;
}
void* getBuilderPluginRegistry(int) { return getPluginRegistry(); }
bool initLibNvInferPlugins(void*, const char*) { return true; }
}
