// libnvinfer, libnvonnxparser and libnvinfer_plugin of a classic TensorRT, over TensorRT-RTX's builder.
//
// NVIDIA's bindings of a release call virtual functions by their place in a table, and TensorRT-RTX has
// most of the same functions in other places. So builder, configuration, network, profile and parser get
// a face: a table in the release's order (table.inc, made from slots.json) whose functions call the
// real object's. What our code does not call ends the process by name. Loading and executing need a
// GPU there: the runtime comes from glue.py, which is also told of every plan that was built.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>

namespace {

using Word = std::uintptr_t;
constexpr int kSlots = 96;
enum Kind { Builder, INetworkDefinition, IBuilderConfig, IOptimizationProfile, OnnxParser, kKinds };
const char* const kKindNames[] = {"Builder", "INetworkDefinition", "IBuilderConfig", "IOptimizationProfile", "OnnxParser"};

struct Face;
struct Body {  // what the bindings call
    void** table;
    void* real;
    Face* face;
};
struct Face {  // what they hold; of the parser they hold the body, whose table has its destructors
    void** table;
    Body* body;
    void* object;     // TensorRT-RTX's
    void* logger;     // the application's
    std::string text;  // of a network: its ONNX file; of a profile and a configuration: the bounds
};

template <class R = Word, class... A> R call(void* real, int slot, A... a) {
    return (*reinterpret_cast<R (***)(void*, A...)>(real))[slot](real, a...);
}
template <int Rtx> Word forward(Body* self, Word a, Word b, Word c, Word d, Word e) {
    return call<Word>(self->real, Rtx, a, b, c, d, e);
}
template <int Rtx> Word forward_hidden(Word out, Body* self, Word a, Word b, Word c, Word d) {  // gives a struct
    using Function = Word (*)(Word, void*, Word, Word, Word, Word);
    return (*reinterpret_cast<Function**>(self->real))[Rtx](out, self->real, a, b, c, d);
}

struct Row {
    Kind kind;
    int classic, rtx;  // rtx -1: not called by us
    const char* name;
    void* function;
};
#define FORWARD(kind, classic, rtx, name) {kind, classic, rtx, name, reinterpret_cast<void*>(&forward<rtx>)},
#define FORWARD_HIDDEN(kind, classic, rtx, name) {kind, classic, rtx, name, reinterpret_cast<void*>(&forward_hidden<rtx>)},
#define REFUSE(kind, classic, name) {kind, classic, -1, name, nullptr},
#include "table.inc"

[[noreturn]] void refuse(const std::string& what) {
    std::fprintf(stderr, "classic TensorRT %d.%d over TensorRT-RTX: %s is not in the layer\n", kVersion[0], kVersion[1], what.c_str());
    std::fflush(stderr);
    std::abort();
}
template <int Of> Word refused() {
    std::string name = "function " + std::to_string(Of % kSlots);
    for (const Row& row : kRows)
        if (row.kind == Of / kSlots && row.classic == Of % kSlots) name = row.name;
    refuse(kKindNames[Of / kSlots] + ("." + name));
}
int rtx(Kind kind, const std::string& name) {
    for (const Row& row : kRows)
        if (row.kind == kind && row.name == name) return row.rtx;
    refuse(kKindNames[kind] + ("." + name));
}
template <class R = Word, class... A> R real(Body* self, Kind kind, const char* name, A... a) {
    return call<R>(self->real, rtx(kind, name), a...);
}

void* tables[kKinds][kSlots];
// No offset and no type_info, which pybind11 reads; both destructors, and what two classes have behind
void* held_table[5];

Face* face(Kind kind, void* object, void* logger) {
    if (object == nullptr) return nullptr;
    void* body = kind == OnnxParser ? object : static_cast<void**>(object)[1];
    auto* made = new Face{held_table + 2, nullptr, object, logger, {}};
    made->body = new Body{tables[kind], body, made};
    return made;
}
void keep(void*) {}
void drop(Face* self) {
    call<void>(self->object, 1);
    delete self->body;
    delete self;
}

// --- loggers: of 10.x {log, D1, D0}; of 11.x and TensorRT-RTX as below

struct Info {
    const char* kind;
    int major, minor;
};
struct Logger {
    virtual int language() const noexcept { return 0; }
    virtual Info info() const noexcept { return {"ILogger", 1, 0}; }
    virtual ~Logger() noexcept = default;
    virtual void log(int severity, const char* text) noexcept = 0;
};
std::mutex told;
std::string layers;  // TensorRT-RTX's table of the last build, which classic TensorRT does not log

void say(void* logger, int severity, const char* text) { call<void>(logger, kMajor >= 11 ? 4 : 0, severity, text); }
struct Adapter : Logger {
    explicit Adapter(void* logger) : to(logger) {}
    void* to;
    void log(int severity, const char* text) noexcept override {
        if (std::strncmp(text, "Layers:\nName:", 13) != 0) return say(to, severity, text);
        const std::lock_guard<std::mutex> lock(told);
        layers = text;
    }
};
void* adapt(void* logger) {
    static std::map<void*, Adapter*> adapters;
    Adapter*& made = adapters[logger];
    if (made == nullptr) made = new Adapter(logger);
    return made;
}

// --- enums that NVIDIA renumbered

unsigned there(int flag) {
    if (flag < 0 || flag >= int(std::size(kBuilderFlag)) || kBuilderFlag[flag] < 0) refuse("BuilderFlag " + std::to_string(flag));
    return unsigned(kBuilderFlag[flag]);
}
unsigned network_flags(unsigned flags) {
    unsigned made = 0;
    for (unsigned bit = 0; bit < 32; bit++) {
        if ((flags >> bit & 1) == 0 || (kMajor < 11 && bit == 0)) continue;  // EXPLICIT_BATCH means nothing since 10.0
        const bool known = bit < std::size(kNetworkDefinitionCreationFlag);
        const int other = known ? kNetworkDefinitionCreationFlag[bit] : 31;  // refused there, too
        if (other < 0) refuse("NetworkDefinitionCreationFlag " + std::to_string(bit));
        made |= 1u << other;
    }
    if (kMajor < 11 && made == 0) refuse("a network that is not strongly typed");
    return made;
}

// --- functions that take or give objects

using Built = void (*)(const void* plan, std::size_t size, const char* model, std::size_t model_size, const char* layers, const char* bounds);
using MakeRuntime = void* (*)(void* logger);
Built built = nullptr;
MakeRuntime make_runtime = nullptr;

Face* create_network(Body* self, unsigned flags) {
    void* made = real<void*>(self, Builder, "create_network(flags)", network_flags(flags));
    return face(INetworkDefinition, made, self->face->logger);
}
Face* create_config(Body* self) {
    return face(IBuilderConfig, real<void*>(self, Builder, "create_builder_config()"), self->face->logger);
}
Face* create_profile(Body* self) {  // the builder keeps it
    return face(IOptimizationProfile, real<void*>(self, Builder, "create_optimization_profile()"), self->face->logger);
}
void* logger_of(Body* self) { return self->face->logger; }
void* build(Body* self, Face* network, Face* config) {
    layers.clear();
    void* made = real<void*>(self, Builder, "build_serialized_network(network,config)", network->object, config->object);
    if (made == nullptr) return nullptr;
    void* memory = static_cast<void**>(made)[1];
    auto* plan = call<char*>(memory, 2);
    const auto size = call<std::size_t>(memory, 3);
    if (size < 32 || std::memcmp(plan, "vtrt", 4) != 0) refuse("this plan's header");
    std::memcpy(plan, "ftrt", 4);
    std::memcpy(plan + 24, kVersion, 4);
    built(plan, size, network->text.data(), network->text.size(), layers.c_str(), config->text.c_str());
    return made;
}
int add_profile(Body* self, Face* profile) {
    const int index = real<int>(self, IBuilderConfig, "add_optimization_profile(profile)", profile->object);
    if (index >= 0) self->face->text = profile->text;
    return index;
}
void set_flag(Body* self, int flag) { real<void>(self, IBuilderConfig, "set_flag(flag)", there(flag)); }
void clear_flag(Body* self, int flag) { real<void>(self, IBuilderConfig, "clear_flag(flag)", there(flag)); }
bool get_flag(Body* self, int flag) { return real<bool>(self, IBuilderConfig, "get_flag(flag)", there(flag)); }

struct Dims {
    std::int32_t count;
    std::int64_t sizes[8];
};
bool set_dimensions(Body* self, const char* input, int which, const Dims* dims) {
    std::ostringstream line;  // input, then which of least, best and most, then its sizes
    line << input << ' ' << which;
    for (int i = 0; i < dims->count; i++) line << ' ' << dims->sizes[i];
    self->face->text += line.str() + "\n";
    return real<bool>(self, IOptimizationProfile, "set_shape(input,min,opt,max)", input, which, dims);
}
std::map<void*, Face*> networks;  // by parser
bool parse(Body* self, const char* model, std::size_t size, const char* path) {
    networks[self]->text.assign(model, size);
    return real<bool>(self, OnnxParser, "parse(model,path)", model, size, path);
}
bool parse_file(Body* self, const char* path, int verbosity) {
    std::ifstream file(path, std::ios::binary);
    networks[self]->text.assign(std::istreambuf_iterator<char>(file), {});
    return real<bool>(self, OnnxParser, "parse_from_file(model)", path, verbosity);
}
void drop_parser(Body* self) {
    call<void>(self->real, 7);  // TensorRT-RTX's deleting destructor
    networks.erase(self);
    delete self->face;
    delete self;
}

struct Own {
    Kind kind;
    const char* name;
    void* function;
};
#define OWN(kind, name, function) {kind, name, reinterpret_cast<void*>(function)}
const Own kOwn[] = {
    OWN(Builder, "create_network(flags)", create_network),
    OWN(Builder, "create_builder_config()", create_config),
    OWN(Builder, "create_optimization_profile()", create_profile),
    OWN(Builder, "build_serialized_network(network,config)", build),
    OWN(Builder, "logger.get", logger_of),
    OWN(IBuilderConfig, "add_optimization_profile(profile)", add_profile),
    OWN(IBuilderConfig, "set_flag(flag)", set_flag),
    OWN(IBuilderConfig, "clear_flag(flag)", clear_flag),
    OWN(IBuilderConfig, "get_flag(flag)", get_flag),
    OWN(IOptimizationProfile, "set_shape(input,min,opt,max)", set_dimensions),
    OWN(OnnxParser, "parse(model,path)", parse),
    OWN(OnnxParser, "parse_from_file(model)", parse_file),
};

template <int... Of> void fill(std::integer_sequence<int, Of...>) {
    ((tables[Of / kSlots][Of % kSlots] = reinterpret_cast<void*>(&refused<Of>)), ...);
}
const bool filled = [] {
    fill(std::make_integer_sequence<int, kKinds * kSlots>());
    for (const Row& row : kRows)
        if (row.function != nullptr) tables[row.kind][row.classic] = row.function;
    for (const Own& own : kOwn)
        for (const Row& row : kRows)
            if (row.kind == own.kind && std::strcmp(row.name, own.name) == 0) tables[row.kind][row.classic] = own.function;
    const int destructors = kMajor >= 11 ? 6 : 8;
    tables[OnnxParser][destructors] = reinterpret_cast<void*>(keep);
    tables[OnnxParser][destructors + 1] = reinterpret_cast<void*>(drop_parser);
    held_table[2] = reinterpret_cast<void*>(keep);
    held_table[3] = reinterpret_cast<void*>(drop);
    held_table[4] = reinterpret_cast<void*>(&refused<kSlots - 1>);
    return true;
}();

// --- what the bindings are linked with

void* rtx_function(const char* library, const char* name) {  // RTLD_LOCAL: tensorrt_rtx may be here as well
    const char* folder = std::getenv("EDAFORMER_CLASSIC_RTX");
    void* opened = dlopen((std::string(folder ? folder : "") + "/" + library).c_str(), RTLD_NOW | RTLD_LOCAL);
    void* found = opened != nullptr ? dlsym(opened, name) : nullptr;
    if (found == nullptr) refuse(dlerror());
    return found;
}
bool driverless(void* logger, const char* where) {
    const char* driver = std::getenv("EDAFORMER_CLASSIC_DRIVER");
    if (driver == nullptr || std::strcmp(driver, "none") != 0) return false;
    say(logger, 1, (std::string(where) + ": Error Code 6: API Usage Error (CUDA initialization failure with error: 35)").c_str());
    return true;
}
const char* const kLibrary = "libtensorrt_rtx.so.1";
const char* const kParser = "libtensorrt_onnxparser_rtx.so.1";
constexpr int kRtxVersion = 10701;

}  // namespace

extern "C" {
void classic_hooks(Built on_built, MakeRuntime on_runtime) {
    built = on_built;
    make_runtime = on_runtime;
}
void* createInferBuilder_INTERNAL(void* logger, int) {
    if (driverless(logger, "createInferBuilder")) return nullptr;
    const auto make = reinterpret_cast<void* (*)(void*, int)>(rtx_function(kLibrary, "createInferBuilder_INTERNAL"));
    return face(Builder, make(adapt(logger), kRtxVersion), logger);
}
void* createInferRuntime_INTERNAL(void* logger, int) {
    return driverless(logger, "createInferRuntime") ? nullptr : make_runtime(logger);
}
void* createNvOnnxParser_INTERNAL(void* network, void* logger, int) {
    const auto version = reinterpret_cast<int (*)()>(rtx_function(kParser, "getNvOnnxParserVersion"));
    const auto make = reinterpret_cast<void* (*)(void*, void*, int)>(rtx_function(kParser, "createNvOnnxParser_INTERNAL"));
    auto* of = static_cast<Face*>(network);
    Body* made = face(OnnxParser, make(of->object, adapt(logger), version()), logger)->body;
    networks[made] = of;
    return made;
}
int getNvOnnxParserVersion() { return kVersion[0] * 10000 + kVersion[1] * 100 + kVersion[2]; }
int getInferLibVersion() { return getNvOnnxParserVersion(); }
void* createInferRefitter_INTERNAL(void*, void*, int) { refuse("Refitter"); }
void* createNvOnnxParserRefitter_INTERNAL(void*, void*, int) { refuse("OnnxParserRefitter"); }
void* getLogger() { return nullptr; }
void* getPluginRegistry() { return nullptr; }
void* getBuilderPluginRegistry(int) { return nullptr; }
bool initLibNvInferPlugins(void*, const char*) { return true; }  // none is needed
}
