// Logits at 1/8, (B, classes, h, w), to labels at the source size, (B, H, W): upsample and argmax in
// one pass, without ever holding classes x H x W.
//
// The unit of work is a cell: the output pixels that lie between the same four logits. In it a class
// stays between the least and the greatest of its four values, so a class whose greatest is below
// some other's least can never win there. Most cells have one class left, and are filled without
// computing a single interpolation; in the others only the classes that are left are interpolated.
// The bounds are widened by more than rounding can move a value, so the labels are those of
// interpolating everything, bit for bit; what is not finite is never left out.
//
// A block has CELLS neighbouring cells of one row. First it bounds the classes, then it marks those
// that are left, then it makes the pixels; it waits for all its threads in between.
#pragma once
#include "half_pixel.cuh"

const int CELLS = 32;                        // a block's, side by side
const int GROUPS = 16;                       // of CELLS threads; they share the classes
const int ARGMAX_THREADS = CELLS * GROUPS;   // each makes four pixels of a row at a time
const u32 NO_CLASS = 255;                    // the label where the network gives no number
const int MASK_WORDS = 8;                    // of 32 classes: labels are uint8

struct ArgmaxJob {
    const void* logits;
    u8* labels;
    float* margin;  // best value less the second best; null where it is not wanted
    int classes, height, width;    // of the logits
    int out_height, out_width;
    float scale_y, scale_x;        // logits over output
    int splits;                    // blocks that share a row of cells
};

struct ArgmaxShared {
    float best[GROUPS][CELLS], second[GROUPS][CELLS];  // lower bounds
    u32 left[MASK_WORDS][CELLS];                       // a bit a class
};

struct Corners {
    float a, b, c, d;
};

struct Bounds {
    float lower, upper;
};

// What a class can be in a cell. Interpolating rounds five times, each by at most 2^-24 of a value
// that is below the sum of the magnitudes: 2^-20 of that sum is ample.
BOTH Bounds bounds(const Corners& k) {
    float sum = fabsf(k.a) + fabsf(k.b) + fabsf(k.c) + fabsf(k.d);
    if (!(sum <= 3.4028234e38f)) return {-infinity(), infinity()};
    float ab_low = k.a < k.b ? k.a : k.b, cd_low = k.c < k.d ? k.c : k.d;
    float ab_high = k.a < k.b ? k.b : k.a, cd_high = k.c < k.d ? k.d : k.c;
    float slack = sum * 9.5367431640625e-7f + 1.1754944e-38f;
    return {(ab_low < cd_low ? ab_low : cd_low) - slack,
            (ab_high < cd_high ? cd_high : ab_high) + slack};
}

template <typename Logit>
struct Plane {
    const Logit* at;
    int width;

    BOTH Plane(const ArgmaxJob& job, int image, int index)
        : at(static_cast<const Logit*>(job.logits) +
             (static_cast<long long>(image) * job.classes + index) * job.height * job.width),
          width(job.width) {}

    BOTH Corners corners(int low, int high, int left, int right) const {
        const Logit *above = at + static_cast<long long>(low) * width,
                    *below = at + static_cast<long long>(high) * width;
        return {to_float(above[left]), to_float(above[right]), to_float(below[left]),
                to_float(below[right])};
    }
};

// The corners of a thread's cell.
template <typename Logit>
BOTH Corners cell_corners(const ArgmaxJob& job, const Place& place, int index) {
    int row = place.block_y, column = place.block_x * CELLS + place.thread % CELLS;
    int below = row + (row < job.height - 1 ? 1 : 0), right = column + (column < job.width - 1 ? 1 : 0);
    return Plane<Logit>(job, place.block_z / job.splits, index).corners(row, below, column, right);
}

BOTH bool has_cell(const ArgmaxJob& job, const Place& place) {
    return place.block_x * CELLS + place.thread % CELLS < job.width;
}

// Phase 1: the greatest two lower bounds of the group's classes.
template <typename Logit>
BOTH void bound_classes(const ArgmaxJob& job, const Place& place, ArgmaxShared& shared) {
    int cell = place.thread % CELLS, group = place.thread / CELLS;
    float best = -infinity(), second = -infinity();
    if (has_cell(job, place))
        for (int index = group; index < job.classes; index += GROUPS) {
            float lower = bounds(cell_corners<Logit>(job, place, index)).lower;
            second = lower > best ? best : (lower > second ? lower : second);
            best = lower > best ? lower : best;
        }
    shared.best[group][cell] = best;
    shared.second[group][cell] = second;
    if (group < MASK_WORDS) shared.left[group][cell] = 0;
}

// The bound to reach: the best of all, or the second best where the margin needs two values.
template <bool MARGIN>
BOTH float threshold(const ArgmaxShared& shared, int cell) {
    float best = -infinity(), second = -infinity();
    for (int group = 0; group < GROUPS; ++group) {
        float lower = shared.best[group][cell], next = shared.second[group][cell];
        second = lower > best ? (best > next ? best : next) : (lower > second ? lower : second);
        best = lower > best ? lower : best;
    }
    return MARGIN ? second : best;
}

// Phase 2: mark the group's classes that are left.
template <typename Logit, bool MARGIN>
BOTH void mark_classes(const ArgmaxJob& job, const Place& place, ArgmaxShared& shared) {
    if (!has_cell(job, place)) return;
    int cell = place.thread % CELLS;
    float least = threshold<MARGIN>(shared, cell);
    for (int index = place.thread / CELLS; index < job.classes; index += GROUPS)
        if (bounds(cell_corners<Logit>(job, place, index)).upper >= least)
            set_bits(&shared.left[index / 32][cell], 1u << index % 32);
}

// Four pixels of a row, of which those from `from` to before `to` are wanted.
struct Run {
    int column, from, to;
    Tap x[4];
    int first_cell, last_cell;  // of the block
};

BOTH Run make_run(const ArgmaxJob& job, int first_column, int column, int start, int end) {
    Run run;
    run.column = column;
    run.from = column < start ? start - column : 0;
    run.to = end - column < 4 ? end - column : 4;
    for (int k = 0; k < 4; ++k) {  // the unwanted do as their wanted neighbours
        int nearest_wanted = k < run.from ? run.from : (k < run.to ? k : run.to - 1);
        run.x[k] = half_pixel(job.scale_x, column + nearest_wanted, job.width);
    }
    run.first_cell = run.x[0].low - first_column;
    run.last_cell = run.x[3].low - first_column;
    return run;
}

BOTH u32 classes_left(const ArgmaxShared& shared, const Run& run, int word) {
    u32 left = 0;
    for (int cell = run.first_cell; cell <= run.last_cell; ++cell) left |= shared.left[word][cell];
    return left;
}

struct Winner {
    float best, second;
    u32 label;
};

// The first of equals wins, as in torch.argmax, and a NaN over everything: its label is 255.
BOTH void challenge(Winner& winner, float value, int index) {
    if (value > winner.best || (value != value && winner.best == winner.best)) {
        winner.second = winner.best;
        winner.best = value;
        winner.label = value == value ? index : NO_CLASS;
    } else if (value > winner.second) {
        winner.second = value;
    }
}

template <typename Logit>
BOTH void challenge_run(const ArgmaxJob& job, int image, const Tap& y, const Run& run, int index,
                        Winner winners[4]) {
    Plane<Logit> plane(job, image, index);
    Corners corners = plane.corners(y.low, y.high, run.x[0].low, run.x[0].high);
    for (int k = 0; k < 4; ++k) {
        if (run.x[k].low != run.x[0].low)
            corners = plane.corners(y.low, y.high, run.x[k].low, run.x[k].high);
        float value = bilinear(y, run.x[k], corners.a, corners.b, corners.c, corners.d);
        challenge(winners[k], value, index);
    }
}

template <bool MARGIN>
BOTH void store_run(const ArgmaxJob& job, long long row, const Run& run, const Winner winners[4]) {
    long long at = row * job.out_width + run.column;
    u8* labels = job.labels + at;
    bool whole = run.from == 0 && run.to == 4;
    if (whole)  // runs are aligned
        store_word(labels, winners[0].label | winners[1].label << 8 | winners[2].label << 16 |
                               winners[3].label << 24);
    for (int k = 0; k < 4; ++k) {
        if (k < run.from || k >= run.to) continue;
        if (!whole) labels[k] = static_cast<u8>(winners[k].label);
        if (MARGIN) job.margin[at + k] = winners[k].best - winners[k].second;
    }
}

template <typename Logit, bool MARGIN>
BOTH void make_pixels(const ArgmaxJob& job, int image, int row, const Run& run,
                      const ArgmaxShared& shared) {
    int words = (job.classes + 31) / 32, count = 0;
    u32 first = 0;
    for (int word = words - 1; word >= 0; --word) {
        u32 left = classes_left(shared, run, word);
        count += count_bits(left);
        first = left ? 32 * word + lowest_bit(left) : first;
    }
    Winner winners[4];
    for (int k = 0; k < 4; ++k) winners[k] = {-infinity(), -infinity(), first};
    if (MARGIN || count > 1 || job.classes == 1) {
        Tap y = half_pixel(job.scale_y, row, job.height);
        for (int word = 0; word < words; ++word)
            for (u32 left = classes_left(shared, run, word); left; left &= left - 1)
                challenge_run<Logit>(job, image, y, run, 32 * word + lowest_bit(left), winners);
    }
    store_run<MARGIN>(job, static_cast<long long>(image) * job.out_height + row, run, winners);
}

// Phase 3: the block's rows, four aligned pixels at a time.
template <typename Logit, bool MARGIN>
BOTH void make_cells(const ArgmaxJob& job, const Place& place, const ArgmaxShared& shared) {
    int image = place.block_z / job.splits, split = place.block_z % job.splits;
    int first_column = place.block_x * CELLS;
    int start = first_output(first_column, job.scale_x, job.width, job.out_width);
    int end = first_output(first_column + CELLS, job.scale_x, job.width, job.out_width);
    int top = split + first_output(place.block_y, job.scale_y, job.height, job.out_height);
    int bottom = first_output(place.block_y + 1, job.scale_y, job.height, job.out_height);
    if (start >= end || top >= bottom) return;
    int rows = (bottom - top + job.splits - 1) / job.splits;
    int runs = (end - start + 6) / 4;  // a row may begin at any of four alignments
    for (int item = place.thread; item < rows * runs; item += ARGMAX_THREADS) {
        int row = top + item / runs * job.splits;
        const u8* begin = job.labels +
            (static_cast<long long>(image) * job.out_height + row) * job.out_width + start;
        int lead = static_cast<int>(reinterpret_cast<u64>(begin) & 3);
        int column = start - lead + item % runs * 4;
        if (column >= end) continue;
        Run run = make_run(job, first_column, column, start, end);
        make_pixels<Logit, MARGIN>(job, image, row, run, shared);
    }
}
