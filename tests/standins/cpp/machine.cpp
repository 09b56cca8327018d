// A machine for examples/cpp without a GPU: CUDA's driver on host memory, the kernels as the tests
// compile them for the host (tests/standins/kernels.cpp), and a TensorRT 10.3 with one network.
//
// The declarations are cuda.h's own, so that a wrong call does not compile. Work that is put on a stream
// while it is captured is kept and done when the graph is launched, as on a GPU. The network's
// logits are sums of whole numbers at every eighth pixel, which any arithmetic gives exactly;
// tests/test_cpp_example.py computes them again.
#include <cuda.h>

#include <cstdlib>
#include <functional>
#include <iostream>

#include "edaformer.hpp"

using Host = void (*)(const void*, const int[3], int);
extern "C" {
void frame_image(const void*, const int[3], int);
void frame_tensor(const void*, const int[3], int);
void argmax_float(const void*, const int[3], int);
void labels_nearest(const void*, const int[3], int);
}

namespace {

struct Kernel {
    Host run;
    std::vector<size_t> sizes;  // of its arguments
};
std::map<std::string, Kernel> kernels = {
    {"frame_image", {frame_image, {sizeof(FrameJob)}}},
    {"frame_tensor", {frame_tensor, {sizeof(FrameJob), sizeof(Normalisation)}}},
    {"argmax_float", {argmax_float, {sizeof(ArgmaxJob)}}},
    {"labels_nearest", {labels_nearest, {sizeof(LabelsJob)}}},
};

using Work = std::function<void()>;
std::vector<Work>* capturing = nullptr;
int held = 0;  // allocations, streams, graphs, modules, contexts

void put(Work work) {
    if (capturing)
        capturing->push_back(work);
    else
        work();
}

struct Leaks {
    ~Leaks() {
        const char* wanted = std::getenv("STANDIN_REPORT");
        if (wanted) std::cerr << "held: " << held << "\n";
    }
} leaks;

}  // namespace

extern "C" {

CUresult cuGetErrorString(CUresult, const char** text) {
    *text = "stand-in";
    return CUDA_SUCCESS;
}
CUresult cuInit(unsigned) { return std::getenv("STANDIN_NO_GPU") ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(CUcontext*, CUdevice) { return ++held, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease(CUdevice) { return --held, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
CUresult cuMemAlloc(CUdeviceptr* at, size_t bytes) {
    void* made = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(made, 0xab, bytes);
    *at = reinterpret_cast<CUdeviceptr>(made);
    return ++held, CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr at) {
    std::free(reinterpret_cast<void*>(at));
    return --held, CUDA_SUCCESS;
}
CUresult cuMemAllocHost(void** at, size_t bytes) {
    *at = std::malloc(bytes);
    return ++held, CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* at) {
    std::free(at);
    return --held, CUDA_SUCCESS;
}
CUresult cuStreamCreate(CUstream*, unsigned) { return ++held, CUDA_SUCCESS; }
CUresult cuStreamDestroy(CUstream) { return --held, CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream) {
    put([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
    return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream) {
    put([=] { std::memcpy(to, reinterpret_cast<const void*>(from), bytes); });
    return CUDA_SUCCESS;
}
CUresult cuModuleLoadData(CUmodule*, const void* image) {
    bool is_ptx = std::strstr(static_cast<const char*>(image), ".visible .entry") != nullptr;
    if (!is_ptx) return CUDA_ERROR_INVALID_PTX;
    return ++held, CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule) { return --held, CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return CUDA_ERROR_NOT_FOUND;
    *function = reinterpret_cast<CUfunction>(&found->second);
    return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction function, unsigned x, unsigned y, unsigned z, unsigned threads,
                        unsigned, unsigned, unsigned, CUstream, void** arguments, void**) {
    const Kernel& kernel = *reinterpret_cast<const Kernel*>(function);
    std::string bytes;  // one after the other, as the kernels' host build takes them
    for (size_t at = 0; at < kernel.sizes.size(); ++at)
        bytes.append(static_cast<const char*>(arguments[at]), kernel.sizes[at]);
    put([=] {
        int grid[3] = {static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)};
        kernel.run(bytes.data(), grid, static_cast<int>(threads));
    });
    return CUDA_SUCCESS;
}
CUresult cuStreamBeginCapture(CUstream, CUstreamCaptureMode) {
    capturing = new std::vector<Work>;
    return ++held, CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream, CUgraph* graph) {
    *graph = reinterpret_cast<CUgraph>(capturing);
    capturing = nullptr;
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* made, CUgraph graph, unsigned long long) {
    *made = reinterpret_cast<CUgraphExec>(new std::vector<Work>(*reinterpret_cast<std::vector<Work>*>(graph)));
    std::cerr << "captured\n";
    return ++held, CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) {
    delete reinterpret_cast<std::vector<Work>*>(graph);
    return --held, CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec graph) {
    delete reinterpret_cast<std::vector<Work>*>(graph);
    return --held, CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec graph, CUstream) {
    for (const Work& work : *reinterpret_cast<std::vector<Work>*>(graph)) work();
    return CUDA_SUCCESS;
}

}  // extern "C"

extern "C" int32_t getInferLibMajorVersion() noexcept { return 10; }
extern "C" int32_t getInferLibMinorVersion() noexcept { return 3; }
extern "C" int32_t getInferLibPatchVersion() noexcept { return 0; }

namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;

// The input's first three values at a place, or zero in the padding.
struct Pixels {
    const edaformer::Manifest& known;
    const void* at;

    float operator()(int row, int column, int channel) const {
        int rows = known.input == "tensor" ? known.padded_height : known.height;
        int columns = known.input == "tensor" ? known.padded_width : known.width;
        if (row >= rows || column >= columns) return 0;
        if (known.input == "image")
            return static_cast<const uint8_t*>(at)[(row * columns + column) * 3 + channel];
        return static_cast<const float*>(at)[(channel * rows + row) * columns + column];
    }
};

class Context : public nvinfer1::IExecutionContext {
  public:
    Context(edaformer::Manifest known, std::string output)
        : known_(std::move(known)), output_(std::move(output)) {}

    bool setTensorAddress(char const* name, void* data) noexcept override {
        addresses_[name] = data;
        return reinterpret_cast<uintptr_t>(data) % 256 == 0;
    }

    bool enqueueV3(cudaStream_t) noexcept override {
        put([this] { compute(); });
        return true;
    }

  private:
    edaformer::Manifest known_;
    std::string output_;
    std::map<std::string, void*> addresses_;

    void compute() {
        Pixels pixels{known_, addresses_.at(known_.input)};
        void* out = addresses_.at(output_);
        if (output_ == "labels") {
            for (int y = 0; y < known_.height; ++y)
                for (int x = 0; x < known_.width; ++x)
                    static_cast<uint8_t*>(out)[y * known_.width + x] =
                        static_cast<uint8_t>(static_cast<int>(pixels(y, x, 0) + pixels(y, x, 2)) % known_.classes);
            return;
        }
        int step = output_ == "logits" ? 8 : 1;
        int rows = (output_ == "logits" ? known_.padded_height : known_.height) / step;
        int columns = (output_ == "logits" ? known_.padded_width : known_.width) / step;
        float* logits = static_cast<float*>(out);
        for (int c = 0; c < known_.classes; ++c)
            for (int y = 0; y < rows; ++y)
                for (int x = 0; x < columns; ++x)
                    *logits++ = static_cast<float>(c % 3 - 1) * pixels(y * step, x * step, 0) +
                                static_cast<float>((c + 1) % 3 - 1) * pixels(y * step, x * step, 1) +
                                static_cast<float>((c + 2) % 3 - 1) * pixels(y * step, x * step, 2);
    }
};

class Engine : public nvinfer1::ICudaEngine {
  public:
    Engine(edaformer::Manifest known, std::string output)
        : known_(std::move(known)), output_(std::move(output)) {}

    nvinfer1::IExecutionContext* createExecutionContext(
        nvinfer1::ExecutionContextAllocationStrategy) noexcept override {
        return new Context(known_, output_);
    }
    Dims getTensorShape(char const* tensor) const noexcept override {
        std::string name = tensor;
        const edaformer::Manifest& m = known_;
        if (name == "image") return {4, {1, m.height, m.width, 3}};
        if (name == "planar") return {4, {1, 3, m.height, m.width}};
        if (name == "tensor") return {4, {1, 3, m.padded_height, m.padded_width}};
        if (name == "labels") return {3, {1, m.height, m.width}};
        if (name == "probabilities") return {4, {1, m.classes, m.height, m.width}};
        return {4, {1, m.classes, m.padded_height / 8, m.padded_width / 8}};
    }
    DataType getTensorDataType(char const* tensor) const noexcept override {
        std::string name = tensor;
        return name == "image" || name == "labels" ? DataType::kUINT8 : DataType::kFLOAT;
    }
    int32_t getNbIOTensors() const noexcept override { return 2; }
    char const* getIOTensorName(int32_t index) const noexcept override {
        return index == 0 ? known_.input.c_str() : output_.c_str();
    }

  private:
    edaformer::Manifest known_;
    std::string output_;
};

class Runtime : public nvinfer1::IRuntime {
  public:
    explicit Runtime(nvinfer1::ILogger& logger) : logger_(logger) {}

    nvinfer1::ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept override {
        std::string bytes(static_cast<const char*>(blob), size);
        if (bytes.find("REFUSE") != std::string::npos) {
            logger_.log(nvinfer1::ILogger::Severity::kERROR, "another GPU's plan");
            return nullptr;
        }
        std::string output;
        for (const char* name : {"labels", "logits", "probabilities"})
            if (bytes.find("\"name\":\"" + std::string(name) + "\"") != std::string::npos) output = name;
        return new Engine(edaformer::find_manifest(bytes, "plan"), output);
    }

  private:
    nvinfer1::ILogger& logger_;
};

}  // namespace

nvinfer1::IRuntime* nvinfer1::createInferRuntime(ILogger& logger) noexcept { return new Runtime(logger); }
