// The CPU kernels for x86 with AVX-512.
#include <initializer_list>
#include <new>

#include "cpu.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define UVPT_ISA avx512
#define UVPT_BYTES 64
#include "cpu_kernel.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
