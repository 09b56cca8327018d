// Labels to another size, nearest neighbour with half-pixel centres: for engines whose output is
// labels. A thread makes four neighbouring pixels of a row.
#pragma once
#include "half_pixel.cuh"

struct LabelsJob {
    const u8* labels;  // (batch, held_height, held_width)
    u8* out;           // (batch, out_height, out_width)
    int held_height, held_width;
    int height, width;  // the valid area, from the top left
    int out_height, out_width;
    float scale_y, scale_x;  // labels over output
};

const int LABELS_THREADS = 128;

BOTH void resize_labels(const LabelsJob& job, const Place& place) {
    int column = 4 * (place.block_x * LABELS_THREADS + place.thread), row = place.block_y;
    if (column >= job.out_width) return;
    long long image = place.block_z;
    int source = nearest(job.scale_y, row, job.height);
    const u8* from = job.labels + (image * job.held_height + source) * job.held_width;
    u8* out = job.out + (image * job.out_height + row) * job.out_width + column;
    u32 made[4] = {};
    for (int k = 0; k < 4; ++k)
        if (column + k < job.out_width) made[k] = from[nearest(job.scale_x, column + k, job.width)];
    if (column + 4 <= job.out_width && is_aligned(out, 4)) {
        store_word(out, made[0] | made[1] << 8 | made[2] << 16 | made[3] << 24);
        return;
    }
    for (int k = 0; k < 4; ++k)
        if (column + k < job.out_width) out[k] = static_cast<u8>(made[k]);
}
