// Half-pixel sampling: which two inputs an output lies between, and how near to each.
//
// PyTorch's align_corners=False: output o reads at scale * (o + 0.5) - 0.5, where scale is input size
// over output size; below 0 it is 0, behind the last input it is the last.
#pragma once
#include "portable.cuh"

struct Tap {
    int low, high;
    float low_weight, high_weight;
};

BOTH Tap half_pixel(float scale, int output, int size) {
    float at = scale * (static_cast<float>(output) + 0.5f) - 0.5f;
    at = at < 0.0f ? 0.0f : at;
    int low = at < static_cast<float>(size - 1) ? static_cast<int>(at) : size - 1;
    float weight = at - static_cast<float>(low);
    weight = weight > 1.0f ? 1.0f : weight;
    return {low, low + (low < size - 1 ? 1 : 0), 1.0f - weight, weight};
}

// The four values around a point, in PyTorch's order of operations.
BOTH float bilinear(const Tap& y, const Tap& x, float a, float b, float c, float d) {
    float above = x.low_weight * a + x.high_weight * b;
    float below = x.low_weight * c + x.high_weight * d;
    return y.low_weight * above + y.high_weight * below;
}

// The first output whose lower input is `index` or later; `outputs` where there is none.
BOTH int first_output(int index, float scale, int size, int outputs) {
    if (index <= 0) return 0;
    if (index >= size) return outputs;
    float guess = (static_cast<float>(index) + 0.5f) / scale - 0.5f;
    int at = guess < static_cast<float>(outputs) ? static_cast<int>(guess) : outputs;
    while (at > 0 && half_pixel(scale, at - 1, size).low >= index) --at;
    while (at < outputs && half_pixel(scale, at, size).low < index) ++at;
    return at;
}

// Nearest neighbour with half-pixel centres, PyTorch's nearest-exact.
BOTH int nearest(float scale, int output, int size) {
    int at = static_cast<int>((static_cast<float>(output) + 0.5f) * scale);
    return at < size - 1 ? at : size - 1;
}
