// A camera frame, uint8 (B, H, W, 3), to what the network's input wants, in one pass.
//
// The frame is resized to uint8 by a rule of edaformer/labels/resize.py, whose tables of weights lie
// beside it: a pixel is a weighted sum of rows, each a weighted sum of pixels. What comes out is
// either the `image` input itself, or is normalised into the `tensor` input, float32 (B, 3, H, W).
// What lies outside the valid area is given. A thread makes four neighbouring pixels of a row.
#pragma once
#include "portable.cuh"

// How sums become bytes again: (sum + half) >> shift.
struct Rounding {
    int row_half, row_shift;  // of a row's sum of products
    int product_shift;        // of every product in a column's sum
    int half, shift;          // of that
};

struct FrameJob {
    const u8* frame;  // (batch, source_height, source_width, 3)
    void* out;
    const int* tables;  // (1 + row_taps, height), then (1 + column_taps, width)
    int row_taps, column_taps;  // the latter even
    Rounding rounding;
    int source_height, source_width;
    int height, width;          // the valid area
    int out_height, out_width;  // of the input, with its padding
    int reversed;               // BGR
    u32 fill;                   // of `image` outside the valid area: R | G << 8 | B << 16
};

const int FRAME_THREADS = 128;  // each four pixels of one row

// What an output is made of, along one side: its first input and a weight for every tap.
struct Taps {
    const int* table;
    int outputs;

    BOTH int first() const { return *table; }
    BOTH int weight(int tap) const { return table[(1 + tap) * outputs]; }
};

BOTH Taps row_taps(const FrameJob& job, int row) { return {job.tables + row, job.height}; }

BOTH Taps column_taps(const FrameJob& job, int column) {
    return {job.tables + (1 + job.row_taps) * job.height + column, job.width};
}

BOTH int within(int index, int size) { return index < 0 ? 0 : index < size ? index : size - 1; }

// Six bytes, two neighbouring pixels, from aligned words; no word is touched that holds none of them.
BOTH u64 load_pair(const u8* at) {
    u64 offset = reinterpret_cast<u64>(at) & 3;
    const u8* word = at - offset;
    u64 low = load_word(word), middle = load_word(word + 4);
    u64 high = offset == 3 ? load_word(word + 8) : 0;
    int shift = static_cast<int>(offset) * 8;
    return ((middle << 32 | low) >> shift & 0xffffffffu) | ((high << 32 | middle) >> shift) << 32;
}

BOTH u64 load_pixel(const u8* at) {
    return at[0] | static_cast<u64>(at[1]) << 8 | static_cast<u64>(at[2]) << 16;
}

// The pixel in a column and the one behind it; beyond an end, the last there is.
BOTH u64 load_taps(const u8* line, int column, int width) {
    if (column >= 0 && column < width - 1) return load_pair(line + 3ll * column);
    return load_pixel(line + 3ll * within(column, width)) |
           load_pixel(line + 3ll * within(column + 1, width)) << 24;
}

// A line's weighted sum, rounded, of each channel.
BOTH void across(const FrameJob& job, const u8* line, const Taps& x, int sum[3]) {
    for (int channel = 0; channel < 3; ++channel) sum[channel] = job.rounding.row_half;
    for (int tap = 0; tap < job.column_taps; tap += 2) {
        u64 pair = load_taps(line, x.first() + tap, job.source_width);
        int near = x.weight(tap), far = x.weight(tap + 1);
        for (int channel = 0; channel < 3; ++channel)
            sum[channel] += near * static_cast<int>(pair >> 8 * channel & 255) +
                            far * static_cast<int>(pair >> (24 + 8 * channel) & 255);
    }
    for (int channel = 0; channel < 3; ++channel) sum[channel] >>= job.rounding.row_shift;
}

// One resized pixel, its three channels in RGB order.
BOTH void make_pixel(const FrameJob& job, const u8* frame, int row, int column, u32 rgb[3]) {
    const Rounding& by = job.rounding;
    Taps y = row_taps(job, row), x = column_taps(job, column);
    int total[3] = {by.half, by.half, by.half};
    for (int tap = 0; tap < job.row_taps; ++tap) {
        int weight = y.weight(tap), sum[3];
        if (weight == 0) continue;
        int line = within(y.first() + tap, job.source_height);
        across(job, frame + 3ll * job.source_width * line, x, sum);
        for (int channel = 0; channel < 3; ++channel)
            total[channel] += sum[channel] * weight >> by.product_shift;
    }
    for (int channel = 0; channel < 3; ++channel)
        rgb[channel] = static_cast<u32>(total[job.reversed ? 2 - channel : channel] >> by.shift);
}

BOTH const u8* frame_of(const FrameJob& job, int index) {
    return job.frame + 3ll * job.source_height * job.source_width * index;
}

BOTH void frame_to_image(const FrameJob& job, const Place& place) {
    int column = 4 * (place.block_x * FRAME_THREADS + place.thread), row = place.block_y;
    if (column >= job.out_width) return;
    const u8* frame = frame_of(job, place.block_z);
    long long line = static_cast<long long>(place.block_z) * job.out_height + row;
    u8* out = static_cast<u8*>(job.out) + 3 * (line * job.out_width + column);
    u32 rgb[4][3];
    int count = job.out_width - column < 4 ? job.out_width - column : 4;
    for (int k = 0; k < 4; ++k) {
        for (int channel = 0; channel < 3; ++channel) rgb[k][channel] = job.fill >> 8 * channel & 255;
        if (row < job.height && column + k < job.width) make_pixel(job, frame, row, column + k, rgb[k]);
    }
    if (count == 4 && is_aligned(out, 4)) {
        store_word(out, rgb[0][0] | rgb[0][1] << 8 | rgb[0][2] << 16 | rgb[1][0] << 24);
        store_word(out + 4, rgb[1][1] | rgb[1][2] << 8 | rgb[2][0] << 16 | rgb[2][1] << 24);
        store_word(out + 8, rgb[2][2] | rgb[3][0] << 8 | rgb[3][1] << 16 | rgb[3][2] << 24);
        return;
    }
    for (int k = 0; k < 4; ++k)
        for (int channel = 0; channel < 3; ++channel)
            if (k < count) out[3 * k + channel] = static_cast<u8>(rgb[k][channel]);
}

struct Normalisation {
    float mean[3], std[3];  // RGB, on the 0..255 scale
    float fill[3];          // outside the valid area, as it is
};

BOTH void frame_to_tensor(const FrameJob& job, const Normalisation& norm, const Place& place) {
    int column = 4 * (place.block_x * FRAME_THREADS + place.thread), row = place.block_y;
    if (column >= job.out_width) return;
    const u8* frame = frame_of(job, place.block_z);
    FourFloats made[3];
    for (int k = 0; k < 4; ++k) {
        for (int channel = 0; channel < 3; ++channel) made[channel].v[k] = norm.fill[channel];
        if (row >= job.height || column + k >= job.width) continue;
        u32 rgb[3];
        make_pixel(job, frame, row, column + k, rgb);
        for (int channel = 0; channel < 3; ++channel)
            made[channel].v[k] =
                (static_cast<float>(rgb[channel]) - norm.mean[channel]) / norm.std[channel];
    }
    for (int channel = 0; channel < 3; ++channel) {
        long long plane = 3ll * place.block_z + channel;
        float* out = static_cast<float*>(job.out) + (plane * job.out_height + row) * job.out_width + column;
        if (column + 4 <= job.out_width && is_aligned(out, 16)) {
            *reinterpret_cast<FourFloats*>(out) = made[channel];
            continue;
        }
        for (int k = 0; k < 4; ++k)
            if (column + k < job.out_width) out[k] = made[channel].v[k];
    }
}
