// The CPU kernels for x86 with AVX2.
#include <initializer_list>
#include <new>

#include "cpu.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define UVPT_ISA avx2
#define UVPT_BYTES 32
#include "cpu_kernel.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
