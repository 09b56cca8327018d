// What CUDA C++ and plain C++ spell differently, so that the arithmetic compiles for both.
//
// No CUDA header is needed, NVRTC's built-ins are enough. Multiplications and additions are never
// contracted (--fmad=false here, -ffp-contract=off on a host): every value is then the same, bit for
// bit, on a GPU, in the tests' host build and in the NumPy definition (edaformer/labels/geometry.py).
#pragma once

#ifdef __CUDACC__
#define BOTH __host__ __device__ __forceinline__
#else
#include <cmath>
#include <cstring>
#define BOTH inline
#endif

typedef unsigned char u8;
typedef unsigned short u16;  // also the bits of a half
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(16) FourFloats {
    float v[4];
};

BOTH bool is_aligned(const void* at, u64 bytes) { return (reinterpret_cast<u64>(at) & (bytes - 1)) == 0; }

BOTH u32 load_word(const u8* at) {
#ifdef __CUDACC__
    return *reinterpret_cast<const u32*>(at);
#else
    u32 word;
    std::memcpy(&word, at, 4);
    return word;
#endif
}

BOTH void store_word(u8* at, u32 word) {
#ifdef __CUDACC__
    *reinterpret_cast<u32*>(at) = word;
#else
    std::memcpy(at, &word, 4);
#endif
}

BOTH float as_float(u32 bits) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(bits);
#else
    float value;
    memcpy(&value, &bits, 4);
    return value;
#endif
}

BOTH float infinity() { return as_float(0x7f800000u); }

BOTH float to_float(float value) { return value; }

BOTH float to_float(u16 half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#else
    u32 sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 1023u;
    if (exponent == 31) return as_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * mantissa * 5.9604644775390625e-8f;  // 2^-24
    return as_float(sign | (exponent + 112) << 23 | mantissa << 13);
#endif
}

BOTH int count_bits(u32 bits) {
#ifdef __CUDA_ARCH__
    return __popc(bits);
#else
    return __builtin_popcount(bits);
#endif
}

BOTH int lowest_bit(u32 bits) {
#ifdef __CUDA_ARCH__
    return __ffs(bits) - 1;
#else
    return __builtin_ctz(bits);
#endif
}

BOTH void set_bits(u32* at, u32 bits) {
#ifdef __CUDA_ARCH__
    atomicOr(at, bits);
#else
    *at |= bits;  // the host build runs one thread
#endif
}

// Where a thread stands; the host build walks through all of them.
struct Place {
    int block_x, block_y, block_z, thread;
};
