// The kernels on a host: the same headers, a loop where a GPU has threads.
#include <cmath>

#include "argmax.cuh"
#include "frame.cuh"
#include "labels.cuh"

template <typename Each>
static void walk(const int grid[3], int threads, Each each) {
    Place place;
    for (place.block_z = 0; place.block_z < grid[2]; ++place.block_z)
        for (place.block_y = 0; place.block_y < grid[1]; ++place.block_y)
            for (place.block_x = 0; place.block_x < grid[0]; ++place.block_x)
                each(place, threads);
}

template <typename Work>
static void all_threads(Place place, int threads, Work work) {
    for (place.thread = 0; place.thread < threads; ++place.thread) work(place);
}

template <typename Logit, bool MARGIN>
static void argmax(const void* arguments, const int grid[3], int threads) {
    const ArgmaxJob& job = *static_cast<const ArgmaxJob*>(arguments);
    walk(grid, threads, [&](Place block, int count) {
        ArgmaxShared shared;
        std::memset(&shared, 0xff, sizeof shared);  // as unspecified as shared memory
        all_threads(block, count, [&](Place p) { bound_classes<Logit>(job, p, shared); });
        all_threads(block, count, [&](Place p) { mark_classes<Logit, MARGIN>(job, p, shared); });
        all_threads(block, count, [&](Place p) { make_cells<Logit, MARGIN>(job, p, shared); });
    });
}

extern "C" {
void frame_image(const void* arguments, const int grid[3], int threads) {
    const FrameJob& job = *static_cast<const FrameJob*>(arguments);
    walk(grid, threads, [&](Place block, int count) {
        all_threads(block, count, [&](Place p) { frame_to_image(job, p); });
    });
}

void frame_tensor(const void* arguments, const int grid[3], int threads) {
    const FrameJob& job = *static_cast<const FrameJob*>(arguments);
    const Normalisation& norm = *reinterpret_cast<const Normalisation*>(&job + 1);
    walk(grid, threads, [&](Place block, int count) {
        all_threads(block, count, [&](Place p) { frame_to_tensor(job, norm, p); });
    });
}

void argmax_float(const void* a, const int g[3], int t) { argmax<float, false>(a, g, t); }
void argmax_half(const void* a, const int g[3], int t) { argmax<u16, false>(a, g, t); }
void margin_float(const void* a, const int g[3], int t) { argmax<float, true>(a, g, t); }
void margin_half(const void* a, const int g[3], int t) { argmax<u16, true>(a, g, t); }

void labels_nearest(const void* arguments, const int grid[3], int threads) {
    const LabelsJob& job = *static_cast<const LabelsJob*>(arguments);
    walk(grid, threads, [&](Place block, int count) {
        all_threads(block, count, [&](Place p) { resize_labels(job, p); });
    });
}

void half_to_float(const u16* from, float* to, int count) {
    for (int k = 0; k < count; ++k) to[k] = to_float(from[k]);
}

// What Python has to know alike: sizes of the arguments and threads of a block.
void layout(int out[7]) {
    const int known[7] = {sizeof(FrameJob),  sizeof(Normalisation), sizeof(ArgmaxJob),
                          sizeof(LabelsJob), FRAME_THREADS,         ARGMAX_THREADS,
                          LABELS_THREADS};
    for (int k = 0; k < 7; ++k) out[k] = known[k];
}
}
