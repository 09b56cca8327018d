// The kernels' entry points; what they compute is in the headers. tools/build_kernels.py makes
// kernels.ptx from them.
#include "argmax.cuh"
#include "frame.cuh"
#include "labels.cuh"

__device__ Place here() {
    return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y),
            static_cast<int>(blockIdx.z), static_cast<int>(threadIdx.x)};
}

extern "C" __global__ void __launch_bounds__(FRAME_THREADS) frame_image(FrameJob job) {
    frame_to_image(job, here());
}

extern "C" __global__ void __launch_bounds__(FRAME_THREADS)
    frame_tensor(FrameJob job, Normalisation norm) {
    frame_to_tensor(job, norm, here());
}

template <typename Logit, bool MARGIN>
__device__ void argmax(const ArgmaxJob& job) {
    __shared__ ArgmaxShared shared;
    Place place = here();
    bound_classes<Logit>(job, place, shared);
    __syncthreads();
    mark_classes<Logit, MARGIN>(job, place, shared);
    __syncthreads();
    make_cells<Logit, MARGIN>(job, place, shared);
}

extern "C" __global__ void __launch_bounds__(ARGMAX_THREADS) argmax_float(ArgmaxJob job) {
    argmax<float, false>(job);
}

extern "C" __global__ void __launch_bounds__(ARGMAX_THREADS) argmax_half(ArgmaxJob job) {
    argmax<u16, false>(job);
}

extern "C" __global__ void __launch_bounds__(ARGMAX_THREADS) margin_float(ArgmaxJob job) {
    argmax<float, true>(job);
}

extern "C" __global__ void __launch_bounds__(ARGMAX_THREADS) margin_half(ArgmaxJob job) {
    argmax<u16, true>(job);
}

extern "C" __global__ void __launch_bounds__(LABELS_THREADS) labels_nearest(LabelsJob job) {
    resize_labels(job, here());
}
