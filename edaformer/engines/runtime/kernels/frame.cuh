// A camera frame, uint8 (B, H, W, 3), to what the network's input wants, in one pass.
//
// The frame is resized (bilinear, half-pixel, no antialiasing) to uint8, rounding half to even; that
// is either the `image` input itself, or is normalised into the `tensor` input, float32 (B, 3, H, W).
// What lies outside the valid area is given. A thread makes four neighbouring pixels of a row.
#pragma once
#include "half_pixel.cuh"

struct FrameJob {
    const u8* frame;  // (batch, source_height, source_width, 3)
    void* out;
    int source_height, source_width;
    int height, width;          // the valid area
    int out_height, out_width;  // of the input, with its padding
    float scale_y, scale_x;     // source over valid
    int reversed;               // BGR
    u32 fill;                   // of `image` outside the valid area: R | G << 8 | B << 16
};

const int FRAME_THREADS = 128;  // each four pixels of one row

// Six bytes, two neighbouring pixels, from aligned words; no word is touched that holds none of them.
BOTH u64 load_pair(const u8* at) {
    u64 offset = reinterpret_cast<u64>(at) & 3;
    const u8* word = at - offset;
    u64 low = load_word(word), middle = load_word(word + 4);
    u64 high = offset == 3 ? load_word(word + 8) : 0;
    int shift = static_cast<int>(offset) * 8;
    return ((middle << 32 | low) >> shift & 0xffffffffu) | ((high << 32 | middle) >> shift) << 32;
}

BOTH u64 load_taps(const u8* row, const Tap& x) {
    const u8* at = row + 3ll * x.low;
    if (x.high != x.low) return load_pair(at);
    u64 pixel = at[0] | static_cast<u64>(at[1]) << 8 | static_cast<u64>(at[2]) << 16;
    return pixel | pixel << 24;  // the last column
}

// One resized pixel, its three channels in RGB order.
BOTH void sample(const FrameJob& job, const u8* frame, const Tap& y, int column, u32 rgb[3]) {
    Tap x = half_pixel(job.scale_x, column, job.source_width);
    u64 above = load_taps(frame + 3ll * job.source_width * y.low, x);
    u64 below = load_taps(frame + 3ll * job.source_width * y.high, x);
    for (int channel = 0; channel < 3; ++channel) {
        int shift = 8 * (job.reversed ? 2 - channel : channel);
        float value = bilinear(
            y, x, byte_to_float(above >> shift & 255), byte_to_float(above >> (shift + 24) & 255),
            byte_to_float(below >> shift & 255), byte_to_float(below >> (shift + 24) & 255));
        rgb[channel] = static_cast<u32>(rintf(value));
    }
}

BOTH const u8* frame_of(const FrameJob& job, int index) {
    return job.frame + 3ll * job.source_height * job.source_width * index;
}

BOTH void frame_to_image(const FrameJob& job, const Place& place) {
    int column = 4 * (place.block_x * FRAME_THREADS + place.thread), row = place.block_y;
    if (column >= job.out_width) return;
    const u8* frame = frame_of(job, place.block_z);
    Tap y = half_pixel(job.scale_y, row, job.source_height);
    long long line = static_cast<long long>(place.block_z) * job.out_height + row;
    u8* out = static_cast<u8*>(job.out) + 3 * (line * job.out_width + column);
    u32 rgb[4][3];
    int count = job.out_width - column < 4 ? job.out_width - column : 4;
    for (int k = 0; k < 4; ++k) {
        for (int channel = 0; channel < 3; ++channel) rgb[k][channel] = job.fill >> 8 * channel & 255;
        if (row < job.height && column + k < job.width) sample(job, frame, y, column + k, rgb[k]);
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
    Tap y = half_pixel(job.scale_y, row, job.source_height);
    FourFloats made[3];
    for (int k = 0; k < 4; ++k) {
        for (int channel = 0; channel < 3; ++channel) made[channel].v[k] = norm.fill[channel];
        if (row >= job.height || column + k >= job.width) continue;
        u32 rgb[3];
        sample(job, frame, y, column + k, rgb);
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
