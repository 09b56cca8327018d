// A plan that edaformer-build wrote, running frames: uint8 RGB in, uint8 labels out, all between on the
// GPU as one CUDA graph.
//
//     edaformer::Engine engine("model.plan", "kernels.ptx");
//     std::vector<uint8_t> labels = engine(pixels, height, width);
//
// It needs TensorRT's runtime library and the CUDA driver, no CUDA runtime and no nvcc: the kernels are
// the package's own PTX (edaformer/engines/runtime/kernels/kernels.ptx), their arguments the structures of its
// headers. What it does is what edaformer.engines.runtime does (docs/runtime.md has the geometry); its
// streams, batches, dynamic sizes and device arrays are left out. It is used in the
// thread that made it.
#pragma once

#include <NvInfer.h>
#include <cuda.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "argmax.cuh"
#include "frame.cuh"
#include "labels.cuh"

namespace edaformer {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// ---------------------------------------------------------------------------------------------- JSON

// A JSON value, as much as a manifest has. What is asked for and is not there is an error.
struct Json {
    std::string text;  // of a string or a number
    std::vector<Json> items;
    std::map<std::string, Json> members;

    const Json& operator[](const std::string& key) const {
        auto found = members.find(key);
        if (found == members.end())
            throw Error("the manifest has no '" + key + "'; build the plan again");
        return found->second;
    }
    bool has(const std::string& key) const { return members.count(key) != 0; }
    int integer() const { return std::atoi(text.c_str()); }
    float number() const { return std::strtof(text.c_str(), nullptr); }
    bool truth() const { return text == "true"; }
};

class JsonReader {
  public:
    explicit JsonReader(const std::string& source) : at_(source.data()), end_(at_ + source.size()) {}

    Json value(int depth = 0) {
        if (depth > 16) damaged();
        Json made;
        char first = peek();
        if (first == '{') {
            list('}', [&] {
                std::string key = string();
                expect(':');
                made.members[key] = value(depth + 1);
            });
        } else if (first == '[') {
            list(']', [&] { made.items.push_back(value(depth + 1)); });
        } else if (first == '"') {
            made.text = string();
        } else {
            while (at_ < end_ && !std::strchr(",]} \n", *at_)) made.text += *at_++;
        }
        return made;
    }

  private:
    const char *at_, *end_;

    [[noreturn]] static void damaged() {
        throw Error("the manifest in the plan is damaged; build the plan again");
    }

    char peek() {
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\n')) ++at_;
        if (at_ == end_) damaged();
        return *at_;
    }

    void expect(char wanted) {
        if (peek() != wanted) damaged();
        ++at_;
    }

    template <typename Each>
    void list(char close, Each each) {
        ++at_;
        if (peek() == close) {
            ++at_;
            return;
        }
        for (each(); peek() == ','; each()) ++at_;
        expect(close);
    }

    // Escapes of one character are resolved; \uXXXX, in class names alone, stays as it is written.
    std::string string() {
        expect('"');
        std::string made;
        while (at_ < end_ && *at_ != '"') {
            if (*at_ == '\\' && at_ + 1 < end_ && at_[1] != 'u') ++at_;
            made += *at_++;
        }
        expect('"');
        return made;
    }
};

// ------------------------------------------------------------------------------------------ manifest

// What travels inside the plan: edaformer/manifest.py writes it as the network's name.
struct Manifest {
    std::string variant, isr, precision;
    int classes = 0;
    std::string input;   // image, planar or tensor
    std::string resize;  // by which rule frames of another size are
    bool dynamic_size = false;
    int height = 0, width = 0;                // the valid area
    int padded_height = 0, padded_width = 0;  // what the logits cover
    Normalisation norm{};
    std::vector<std::string> names;  // of the classes; empty where they are compressed or unknown
};

inline Manifest parse_manifest(const std::string& text) {
    Json json = JsonReader(text).value();
    if (json["schema_version"].integer() != 1)
        throw Error("the plan has manifest schema " + json["schema_version"].text +
                    ", this program reads 1; use the version that made it");
    Manifest made;
    const Json& input = json["input"];
    made.variant = json["variant"].text;
    made.isr = json["isr"].text;
    made.precision = json["precision"].text;
    made.classes = json["num_classes"].integer();
    made.input = input["name"].text;
    made.resize = input.has("resize") ? input["resize"].text : "opencv-bilinear";  // the only one before
    made.dynamic_size = input["dynamic_size"].truth();
    made.height = input["height"].integer();
    made.width = input["width"].integer();
    made.padded_height = input["padded_height"].integer();
    made.padded_width = input["padded_width"].integer();
    for (size_t channel = 0; channel < 3; ++channel) {
        made.norm.mean[channel] = input["mean"].items.at(channel).number();
        made.norm.std[channel] = input["std"].items.at(channel).number();
    }
    if (json.has("classes"))
        for (const Json& name : json["classes"].items) made.names.push_back(name.text);
    return made;
}

// The manifest in a plan's bytes: marker, four digits of length, ':', JSON.
inline Manifest find_manifest(const std::string& plan, const std::string& path) {
    const std::string marker = "edaformer-deploy:1:";
    size_t at = plan.find(marker);
    if (at == std::string::npos)
        throw Error(path + " is a plan without a manifest; build it with edaformer-build");
    if (plan.find(marker, at + 1) != std::string::npos)
        throw Error(path + " holds two manifests; it is not a plan as built: build it again");
    size_t start = at + marker.size() + 5;
    size_t length = std::strtoul(plan.substr(at + marker.size(), 4).c_str(), nullptr, 10);
    if (start > plan.size() || plan.size() - start < length)
        throw Error("the manifest in " + path + " is cut short; build the plan again");
    return parse_manifest(plan.substr(start, length));
}

inline std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error("expected a file at " + path + ", found none; check the path");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// TensorRT and TensorRT-RTX have the same header and calls, and other plans.
#ifdef EDAFORMER_TENSORRT_RTX
const char PLAN_TAG[] = "vtrt";
#else
const char PLAN_TAG[] = "ftrt";
#endif

// Refuse what is no plan, or was built by another TensorRT than the one that is linked.
inline void check_header(const std::string& plan, const std::string& path) {
    if (plan.size() < 32 || plan.compare(0, 4, PLAN_TAG) != 0)
        throw Error(path + " is not a plan of the TensorRT this program is linked with; build one "
                           "with edaformer-build");
    auto part = [&](size_t index) { return static_cast<int>(static_cast<uint8_t>(plan[24 + index])); };
    int own[3] = {getInferLibMajorVersion(), getInferLibMinorVersion(), getInferLibPatchVersion()};
    if (part(0) == own[0] && part(1) == own[1] && part(2) == own[2]) return;
    auto version = [](int a, int b, int c) {
        return std::to_string(a) + "." + std::to_string(b) + "." + std::to_string(c);
    };
    throw Error(path + " was built by TensorRT " + version(part(0), part(1), part(2)) + " and " +
                version(own[0], own[1], own[2]) + " is here; build it again on this machine");
}

// ------------------------------------------------------------------------------------------ resizing

// The rules of edaformer/labels/resize.py, number by number: of one side a table of (1 + taps, outputs),
// the first input that an output is made of and the weights of it and those behind it.
using Table = std::vector<int>;

inline Table opencv_table(int inputs, int outputs) {
    Table made(3 * static_cast<size_t>(outputs));
    double scale = 1.0 / (static_cast<double>(outputs) / inputs);
    for (int output = 0; output < outputs; ++output) {
        float at = static_cast<float>((output + 0.5) * scale - 0.5), low = std::floor(at);
        int* column = made.data() + output;
        column[0] = static_cast<int>(low);
        column[outputs] = static_cast<int>(std::nearbyint((1.0f - (at - low)) * 2048.0f));
        column[2 * outputs] = static_cast<int>(std::nearbyint((at - low) * 2048.0f));
    }
    return made;
}

inline Table pillow_table(int inputs, int outputs) {
    double scale = static_cast<double>(inputs) / outputs, reach = std::max(scale, 1.0);
    auto centre = [&](int output) { return (output + 0.5) * scale; };
    auto first = [&](int output) {
        return static_cast<int>(std::max(centre(output) - reach + 0.5, 0.0));
    };
    auto behind = [&](int output) {
        return static_cast<int>(std::min(centre(output) + reach + 0.5, static_cast<double>(inputs)));
    };
    int taps = 0;
    for (int output = 0; output < outputs; ++output)
        taps = std::max(taps, behind(output) - first(output));
    Table made((1 + static_cast<size_t>(taps)) * static_cast<size_t>(outputs));
    for (int output = 0; output < outputs; ++output) {
        std::vector<double> weights;
        double total = 0.0;
        for (int at = first(output); at < behind(output); ++at) {
            double away = std::fabs((at - centre(output) + 0.5) * (1.0 / reach));
            weights.push_back(std::max(1.0 - away, 0.0));
            total += weights.back();
        }
        size_t at = static_cast<size_t>(output);
        made[at] = first(output);
        for (double weight : weights)
            made[at += static_cast<size_t>(outputs)] =
                static_cast<int>(weight / total * (1 << 22) + 0.5);
    }
    return made;
}

struct Rule {
    Table (*table)(int inputs, int outputs);
    Rounding rounding;
};

inline const std::map<std::string, Rule>& rules() {
    static const std::map<std::string, Rule> known{
        {"opencv-bilinear", {opencv_table, {0, 4, 16, 2, 2}}},
        {"pillow-bilinear", {pillow_table, {1 << 21, 22, 0, 1 << 21, 22}}},
    };
    return known;
}

// ---------------------------------------------------------------------------------------------- CUDA

inline void check(CUresult result, const char* what) {
    if (result == CUDA_SUCCESS) return;
    const char* reason = nullptr;
    if (cuGetErrorString(result, &reason) != CUDA_SUCCESS) reason = "unknown";
    throw Error(std::string("the CUDA call ") + what + " failed (" + reason + ")");
}
#define EDAFORMER_CUDA(call) ::edaformer::check(call, #call)

// The first GPU's primary context, which is current in the thread that made it.
class Context {
  public:
    Context() {
        EDAFORMER_CUDA(cuInit(0));
        EDAFORMER_CUDA(cuDeviceGet(&device_, 0));
        EDAFORMER_CUDA(cuDevicePrimaryCtxRetain(&context_, device_));
        if (cuCtxSetCurrent(context_) != CUDA_SUCCESS) {
            cuDevicePrimaryCtxRelease(device_);
            throw Error("the GPU's context cannot be made current; see what nvidia-smi says");
        }
    }
    ~Context() { cuDevicePrimaryCtxRelease(device_); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

  private:
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
};

class DeviceMemory {
  public:
    explicit DeviceMemory(size_t bytes) { EDAFORMER_CUDA(cuMemAlloc(&at_, bytes)); }
    ~DeviceMemory() { cuMemFree(at_); }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    CUdeviceptr address() const { return at_; }
    void* pointer() const { return reinterpret_cast<void*>(at_); }

  private:
    CUdeviceptr at_ = 0;
};

class PinnedMemory {
  public:
    explicit PinnedMemory(size_t bytes) : size(bytes) { EDAFORMER_CUDA(cuMemAllocHost(&at_, bytes)); }
    ~PinnedMemory() { cuMemFreeHost(at_); }
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;
    uint8_t* data() const { return static_cast<uint8_t*>(at_); }
    const size_t size;

  private:
    void* at_ = nullptr;
};

class Stream {
  public:
    Stream() { EDAFORMER_CUDA(cuStreamCreate(&handle, CU_STREAM_NON_BLOCKING)); }
    ~Stream() { cuStreamDestroy(handle); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    CUstream handle = nullptr;
};

class Kernels {
  public:
    explicit Kernels(const std::string& ptx) {
        EDAFORMER_CUDA(cuModuleLoadData(&module_, ptx.c_str()));
    }
    ~Kernels() { cuModuleUnload(module_); }
    Kernels(const Kernels&) = delete;
    Kernels& operator=(const Kernels&) = delete;

    struct Grid {
        unsigned x, y, z;
    };

    // Put a kernel on a stream; `arguments` point at what it takes, one after the other.
    void launch(const char* name, Grid grid, unsigned threads, void** arguments, CUstream stream) {
        CUfunction function = nullptr;
        EDAFORMER_CUDA(cuModuleGetFunction(&function, module_, name));
        EDAFORMER_CUDA(cuLaunchKernel(function, grid.x, grid.y, grid.z, threads, 1, 1, 0, stream,
                                      arguments, nullptr));
    }

  private:
    CUmodule module_ = nullptr;
};

// -------------------------------------------------------------------------------------------- engine

class Engine {
  public:
    // `plan` is a path that edaformer-build wrote, `ptx` the package's kernels.ptx.
    Engine(const std::string& plan, const std::string& ptx)
        : bytes_(read_file(plan)), manifest_(checked(bytes_, plan)), kernels_(read_file(ptx)) {
        runtime_.reset(nvinfer1::createInferRuntime(logger_));
        if (!runtime_) throw Error("TensorRT does not start (" + logger_.last + ")");
        engine_.reset(runtime_->deserializeCudaEngine(bytes_.data(), bytes_.size()));
        if (!engine_)
            throw Error("TensorRT refuses " + plan + " on this machine (" + logger_.last +
                        "); build it again here with edaformer-build");
        bytes_.clear();
        bytes_.shrink_to_fit();
        context_.reset(engine_->createExecutionContext());
        if (!context_) throw Error("TensorRT cannot make the plan ready (" + logger_.last + ")");
        bind_tensors(plan);
    }

    ~Engine() { drop_graph(); }
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    const Manifest& manifest() const { return manifest_; }

    // RGB pixels (height, width, 3) of any size -> labels (height, width).
    std::vector<uint8_t> operator()(const uint8_t* pixels, int height, int width) {
        if (height < 1 || width < 1) throw Error("expected a frame with at least one pixel");
        set_source(height, width);
        std::memcpy(frame_->data(), pixels, frame_->size);
        run();
        EDAFORMER_CUDA(cuStreamSynchronize(stream_.handle));
        return {labels_->data(), labels_->data() + labels_->size};
    }

  private:
    struct Logger : nvinfer1::ILogger {
        std::string last = "no reason given";
        void log(Severity severity, const char* message) noexcept override {
            if (severity <= Severity::kERROR) last = message;
        }
    };

    std::string bytes_;
    Manifest manifest_;  // read before anything is asked of the GPU
    Context device_;     // outlives all that lies on it
    Logger logger_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    Kernels kernels_;
    Stream stream_;
    std::map<std::string, std::unique_ptr<DeviceMemory>> tensors_;
    std::string output_;
    int scores_height_ = 0, scores_width_ = 0;  // of logits or probabilities
    bool half_ = false;
    int height_ = 0, width_ = 0;  // of the frame
    std::unique_ptr<PinnedMemory> frame_, labels_;
    std::unique_ptr<DeviceMemory> device_frame_, device_labels_, tables_;
    int row_taps_ = 0, column_taps_ = 0;
    int runs_ = 0;  // with these buffers
    CUgraphExec graph_ = nullptr;

    static Manifest checked(const std::string& bytes, const std::string& path) {
        check_header(bytes, path);
        Manifest made = find_manifest(bytes, path);
        if (made.dynamic_size)
            throw Error(path + " has a dynamic size, and this program runs plans of one size; export "
                               "with --size HxW");
        if (!rules().count(made.resize))
            throw Error(path + " has frames resized by " + made.resize + ", and this program does it by "
                        "opencv-bilinear and pillow-bilinear; export with --resize and one of them");
        return made;
    }

    // Memory for every tensor; logits are preferred, as upsampling and argmax are one kernel of ours.
    void bind_tensors(const std::string& path) {
        for (int index = 0; index < engine_->getNbIOTensors(); ++index) {
            std::string name = engine_->getIOTensorName(index);
            nvinfer1::Dims shape = engine_->getTensorShape(name.c_str());
            if (shape.nbDims < 3 || shape.d[0] != 1)
                throw Error(path + " has another batch than 1; export it with --batch 1");
            size_t bytes = element_size(engine_->getTensorDataType(name.c_str()), path);
            for (int side = 0; side < shape.nbDims; ++side) bytes *= static_cast<size_t>(shape.d[side]);
            auto& memory = tensors_[name] = std::make_unique<DeviceMemory>(bytes);
            if (!context_->setTensorAddress(name.c_str(), memory->pointer()))
                throw Error("TensorRT cannot place the tensor " + name + " (" + logger_.last + ")");
        }
        for (const char* name : {"probabilities", "labels", "logits"})
            if (tensors_.count(name)) output_ = name;
        if (output_.empty() || !tensors_.count(manifest_.input))
            throw Error(path + " has other tensors than its manifest says; export and build it again");
        if (output_ == "labels") return;
        nvinfer1::Dims shape = engine_->getTensorShape(output_.c_str());
        scores_height_ = static_cast<int>(shape.d[2]);
        scores_width_ = static_cast<int>(shape.d[3]);
        half_ = engine_->getTensorDataType(output_.c_str()) == nvinfer1::DataType::kHALF;
    }

    static size_t element_size(nvinfer1::DataType type, const std::string& path) {
        if (type == nvinfer1::DataType::kFLOAT) return 4;
        if (type == nvinfer1::DataType::kHALF) return 2;
        if (type == nvinfer1::DataType::kUINT8) return 1;
        throw Error(path + " has a tensor of another type than float, half and uint8; export it again");
    }

    void set_source(int height, int width) {
        if (height == height_ && width == width_) return;
        drop_graph();
        size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
        frame_ = std::make_unique<PinnedMemory>(3 * pixels);
        labels_ = std::make_unique<PinnedMemory>(pixels);
        device_frame_ = std::make_unique<DeviceMemory>(3 * pixels);
        device_labels_ = std::make_unique<DeviceMemory>(pixels);
        put_tables(height, width);
        height_ = height;
        width_ = width;
    }

    // As kernels/__init__.py lays them out: rows', then columns' with an even number of taps.
    void put_tables(int height, int width) {
        const Manifest& m = manifest_;
        auto make = rules().at(m.resize).table;
        Table both = make(height, m.height), columns = make(width, m.width);
        row_taps_ = static_cast<int>(both.size()) / m.height - 1;
        column_taps_ = static_cast<int>(columns.size()) / m.width - 1;
        if (column_taps_ % 2) columns.resize(columns.size() + static_cast<size_t>(m.width));
        column_taps_ += column_taps_ % 2;
        both.insert(both.end(), columns.begin(), columns.end());
        size_t bytes = both.size() * sizeof(int);
        tables_ = std::make_unique<DeviceMemory>(bytes);
        EDAFORMER_CUDA(cuMemcpyHtoDAsync(tables_->address(), both.data(), bytes, stream_.handle));
        EDAFORMER_CUDA(cuStreamSynchronize(stream_.handle));
    }

    // The first run is not captured, TensorRT does work of its own in it; the second one is.
    void run() {
        if (runs_++ == 0) return enqueue();
        if (!graph_) capture();
        EDAFORMER_CUDA(cuGraphLaunch(graph_, stream_.handle));
    }

    void capture() {
        EDAFORMER_CUDA(cuStreamBeginCapture(stream_.handle, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
        CUgraph graph = nullptr;
        try {
            enqueue();
        } catch (...) {
            if (cuStreamEndCapture(stream_.handle, &graph) == CUDA_SUCCESS) cuGraphDestroy(graph);
            throw;
        }
        EDAFORMER_CUDA(cuStreamEndCapture(stream_.handle, &graph));
        CUresult made = cuGraphInstantiateWithFlags(&graph_, graph, 0);
        cuGraphDestroy(graph);
        check(made, "cuGraphInstantiateWithFlags");
    }

    void drop_graph() {
        if (graph_) cuGraphExecDestroy(graph_);
        graph_ = nullptr;
        runs_ = 0;
    }

    void enqueue() {
        CUstream stream = stream_.handle;
        EDAFORMER_CUDA(
            cuMemcpyHtoDAsync(device_frame_->address(), frame_->data(), frame_->size, stream));
        preprocess(stream);
        if (!context_->enqueueV3(stream))
            throw Error("TensorRT cannot execute the plan (" + logger_.last + ")");
        postprocess(stream);
        EDAFORMER_CUDA(
            cuMemcpyDtoHAsync(labels_->data(), device_labels_->address(), labels_->size, stream));
    }

    // As edaformer/engines/runtime/kernels/__init__.py computes it: a ratio in double, then the nearest float.
    static float ratio(int64_t numerator, int64_t denominator) {
        return static_cast<float>(static_cast<double>(numerator) / static_cast<double>(denominator));
    }

    static Kernels::Grid grid(int height, int width, int threads) {
        int columns = (width + 4 * threads - 1) / (4 * threads);
        return {static_cast<unsigned>(columns), static_cast<unsigned>(height), 1};
    }

    void preprocess(CUstream stream) {
        const Manifest& m = manifest_;
        bool padded = m.input == "tensor";  // the others are padded in the graph
        int rows = padded ? m.padded_height : m.height, columns = padded ? m.padded_width : m.width;
        FrameJob job{static_cast<const u8*>(device_frame_->pointer()),
                     tensors_.at(m.input)->pointer(),
                     static_cast<const int*>(tables_->pointer()), row_taps_, column_taps_,
                     rules().at(m.resize).rounding,
                     height_, width_, m.height, m.width, rows, columns, 0, 0};
        if (m.input == "image") {
            void* arguments[] = {&job};
            kernels_.launch("frame_image", grid(m.height, m.width, FRAME_THREADS), FRAME_THREADS,
                            arguments, stream);
            return;
        }
        Normalisation norm = padded ? m.norm : Normalisation{{0, 0, 0}, {1, 1, 1}, {0, 0, 0}};
        void* arguments[] = {&job, &norm};
        kernels_.launch("frame_tensor", grid(rows, columns, FRAME_THREADS), FRAME_THREADS, arguments,
                        stream);
    }

    void postprocess(CUstream stream) {
        if (output_ == "labels") return resize(stream);
        const Manifest& m = manifest_;
        bool whole = output_ == "logits";  // probabilities cover the valid area alone
        int64_t rows = whole ? m.padded_height : m.height, columns = whole ? m.padded_width : m.width;
        float scale_y = ratio(int64_t{scores_height_} * m.height, rows * height_);
        float scale_x = ratio(int64_t{scores_width_} * m.width, columns * width_);
        int splits = static_cast<int>(std::nearbyint(1.0 / static_cast<double>(scale_y) / 8));
        ArgmaxJob job{tensors_.at(output_)->pointer(), static_cast<u8*>(device_labels_->pointer()),
                      nullptr, m.classes, scores_height_, scores_width_, height_, width_,
                      scale_y, scale_x, splits < 1 ? 1 : splits};
        void* arguments[] = {&job};
        Kernels::Grid blocks{static_cast<unsigned>((scores_width_ + CELLS - 1) / CELLS),
                             static_cast<unsigned>(scores_height_), static_cast<unsigned>(job.splits)};
        kernels_.launch(half_ ? "argmax_half" : "argmax_float", blocks, ARGMAX_THREADS, arguments,
                        stream);
    }

    void resize(CUstream stream) {
        const Manifest& m = manifest_;
        LabelsJob job{static_cast<const u8*>(tensors_.at(output_)->pointer()),
                      static_cast<u8*>(device_labels_->pointer()),
                      m.height, m.width, m.height, m.width, height_, width_,
                      ratio(m.height, height_), ratio(m.width, width_)};
        void* arguments[] = {&job};
        kernels_.launch("labels_nearest", grid(height_, width_, LABELS_THREADS), LABELS_THREADS,
                        arguments, stream);
    }
};

}  // namespace edaformer
