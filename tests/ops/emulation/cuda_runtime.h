// A stand-in for CUDA, as far as csrc/cuda_kernels.cu uses it: compiled against this header, its
// kernels run on the CPU. Blocks run one after the other; a block's threads take turns, each running
// until it waits for the others. Shared memory holds NaN until a block writes to it, so a thread that
// does not wait for what another stages is found out.
#pragma once

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cstdint>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(n)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

typedef void* cudaStream_t;
enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration };
inline cudaError_t cudaGetDevice(int*) { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "invalid configuration argument"; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  unsigned dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline dim3 threadIdx, blockIdx, blockDim;

namespace uvpt {
alignas(16) inline unsigned char shared_memory[1 << 18];
}

namespace emulation {

constexpr int STACK = 64 << 10;

struct Thread {
  ucontext_t context;
  dim3 index;
  bool done = false;
  long blocks = 0, warps = 0, groups = 0;  // how often it has waited for its block, warp, group
  double slot;     // what it shows to them
};

inline std::vector<Thread> threads;
inline ucontext_t scheduler;
inline int current;
inline void (*body)(void*);
inline void* body_arguments;

inline void yield() { swapcontext(&threads[current].context, &scheduler); }

// Wait until threads `first` to `last` have waited as often as this one.
inline void meet(long Thread::*waits, int first, int last) {
  const long mine = ++(threads[current].*waits);
  for (int i = first; i < last; ++i)
    while (!threads[i].done && threads[i].*waits < mine) yield();
}

inline void enter() {
  body(body_arguments);
  threads[current].done = true;
  yield();
}

inline void run_block(int count) {
  static std::vector<char> stacks;
  stacks.resize(static_cast<size_t>(count) * STACK);
  threads.assign(count, Thread());
  for (int i = 0; i < count; ++i) {
    auto& thread = threads[i];
    thread.index = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = stacks.data() + static_cast<size_t>(i) * STACK;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, enter, 0);
  }
  for (int left = count; left > 0;) {
    left = 0;
    for (current = 0; current < count; ++current) {
      if (threads[current].done) continue;
      threadIdx = threads[current].index;
      swapcontext(&scheduler, &threads[current].context);
      left += !threads[current].done;
    }
  }
}

}  // namespace emulation

inline void __syncthreads() {
  using namespace emulation;
  meet(&Thread::blocks, 0, static_cast<int>(threads.size()));
}

inline void __syncwarp(unsigned mask) {
  using namespace emulation;
  const int warp = current / 32 * 32;
  auto waits = mask == ~0u ? &Thread::warps : &Thread::groups;
  meet(waits, warp + __builtin_ctz(mask), warp + 32 - __builtin_clz(mask));
}

template <typename A>
A __shfl_xor_sync(unsigned mask, A number, int apart) {
  using namespace emulation;
  const int warp = current / 32 * 32, first = warp + __builtin_ctz(mask);
  const int last = warp + 32 - __builtin_clz(mask);
  threads[current].slot = number;
  meet(&Thread::groups, first, last);
  const A other = static_cast<A>(threads[current ^ apart].slot);
  meet(&Thread::groups, first, last);
  return other;
}

template <typename A>
A atomicAdd(A* to, A number) {
  const A before = *to;
  *to += number;
  return before;
}

inline long long __double2ll_rn(double number) { return llrint(number); }
inline int __double2int_rd(double number) {
  return number != number ? INT_MIN : static_cast<int>(floor(number));
}
inline int __float2int_rd(float number) { return number != number ? 0 : __double2int_rd(number); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

template <typename Kernel, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, Kernel kernel,
                               const Arguments&... arguments) {
  if (config->dynamicSmemBytes > sizeof uvpt::shared_memory || config->blockDim.x > 1024)
    return cudaErrorInvalidConfiguration;
  auto call = [&] { kernel(arguments...); };
  emulation::body = [](void* of) { (*static_cast<decltype(call)*>(of))(); };
  emulation::body_arguments = &call;
  blockDim = config->blockDim;
  for (unsigned block = 0; block < config->gridDim.x; ++block) {
    blockIdx = dim3(block);
    memset(uvpt::shared_memory, 0xff, config->dynamicSmemBytes);
    emulation::run_block(blockDim.x * blockDim.y * blockDim.z);
  }
  return cudaSuccess;
}
