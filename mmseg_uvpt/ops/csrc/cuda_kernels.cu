// The CUDA kernels: pack values into planes, sample them; and for gradients the same backwards.
//
// A block serves a tile of 32 neighbouring queries and some heads. A thread has one query, one head
// and CHANNELS of the head's channels; where a head has more, a group of neighbouring threads shares
// it. Neighbouring queries sample neighbouring pixels, so a warp touches few lines of one head's
// plane. What lies far apart in memory for such threads (a query's raw numbers, its output) goes
// through shared memory, where whole rows of it are copied at a time.
#include "cuda_kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

namespace uvpt {

extern __shared__ __align__(16) unsigned char shared_memory[];

namespace {

constexpr int QUERIES = 32;  // of a tile
constexpr int MAX_THREADS = 512;
constexpr unsigned SHARED_BYTES = 48 << 10;  // any GPU's blocks have so much

template <typename T>
struct ComputedIn {
  using type = float;
};
template <>
struct ComputedIn<double> {
  using type = double;
};

// ---- numbers in whole vectors ----

template <int BYTES>
struct alignas(BYTES) Bytes {
  unsigned char bytes[BYTES];
};
template <>
struct alignas(16) Bytes<16> {
  unsigned words[4];
};
template <>
struct alignas(8) Bytes<8> {
  unsigned words[2];
};
template <>
struct alignas(4) Bytes<4> {
  unsigned words[1];
};

constexpr int vector_bytes(int bytes) {
  return bytes % 16 == 0 ? 16 : bytes % 8 == 0 ? 8 : bytes % 4 == 0 ? 4 : 2;
}

template <typename T, int N>
struct alignas(vector_bytes(N * sizeof(T))) Pack {
  using Vector = Bytes<vector_bytes(N * sizeof(T))>;
  static constexpr int VECTORS = N * sizeof(T) / sizeof(Vector);
  union {
    Vector vectors[VECTORS];
    T numbers[N];
  };
  __device__ Pack() {}
};

template <typename A, int N, typename T>
__device__ void load(const T* from, A (&to)[N]) {
  using P = Pack<T, N>;
  P pack;
#pragma unroll
  for (int i = 0; i < P::VECTORS; ++i)
    pack.vectors[i] = reinterpret_cast<const typename P::Vector*>(from)[i];
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = static_cast<A>(pack.numbers[i]);
}

template <typename A>
__device__ void add_vector(A* to, const A (&numbers)[1]) {
  atomicAdd(to, numbers[0]);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && CUDART_VERSION >= 12010
__device__ void add_vector(float* to, const float (&n)[2]) {
  atomicAdd(reinterpret_cast<float2*>(to), make_float2(n[0], n[1]));
}
__device__ void add_vector(float* to, const float (&n)[4]) {
  atomicAdd(reinterpret_cast<float4*>(to), make_float4(n[0], n[1], n[2], n[3]));
}
template <typename A, int N>
constexpr int ADDED_AT_ONCE = sizeof(A) > 4 ? 1 : N % 4 == 0 ? 4 : 2;
#else
template <typename A, int N>
constexpr int ADDED_AT_ONCE = 1;
#endif

// Add to a gradient plane, which other threads add to as well.
template <typename A, int N>
__device__ void add(A* to, const A (&g)[N], A weight) {
  constexpr int PART = ADDED_AT_ONCE<A, N>;
#pragma unroll
  for (int i = 0; i < N; i += PART) {
    A part[PART];
#pragma unroll
    for (int k = 0; k < PART; ++k) part[k] = weight * g[i + k];
    add_vector(to + i, part);
  }
}

// The same in integers, whose sum is the same in any order.
template <typename A, int N>
__device__ void add(unsigned long long* to, const A (&g)[N], A weight, double scale) {
#pragma unroll 1
  for (int i = 0; i < N; ++i) {
    const double number = static_cast<double>(weight * g[i]) * scale;
    atomicAdd(to + i, static_cast<unsigned long long>(__double2ll_rn(number)));
  }
}

// The sum over a group of `size` (a power of two) neighbouring threads, for each of them.
template <typename A>
__device__ A group_sum(A number, int size) {
  const unsigned first = threadIdx.x % 32 & ~(size - 1);
  const unsigned mask = (size == 32 ? ~0u : (1u << size) - 1) << first;
  for (int apart = size / 2; apart > 0; apart /= 2)
    number += __shfl_xor_sync(mask, number, apart);
  return number;
}

// Wait until the group's threads have read what one of them is about to overwrite.
__device__ inline void wait_for_group(int size) {
  const unsigned first = threadIdx.x % 32 & ~(size - 1);
  __syncwarp((size == 32 ? ~0u : (1u << size) - 1) << first);
}

// ---- which thread does what ----

// How a call is cut into blocks: blocks of one tile's heads follow each other, then tiles.
struct Grid {
  int across;            // queries a tile is wide: 8, or 32 where queries are one row
  int columns[MAX_MAPS];  // tiles of a map side by side
  int first[MAX_MAPS];    // a map's first tile
  int tiles = 0;
  int block_heads;  // heads of a block
  int head_blocks;
  int group;        // threads that share a head's channels

  Grid(const CudaCall& c, int channels) {
    across = c.fused ? 8 : QUERIES;
    const int down = QUERIES / across;
    for (int map = 0; map < c.queries.count; ++map) {
      columns[map] = (c.queries.width[map] + across - 1) / across;
      first[map] = tiles;
      tiles += columns[map] * ((c.queries.height[map] + down - 1) / down);
    }
    group = c.padded / channels;
    take(c.heads, c.heads);
    while (block_heads > 1 && threads() > MAX_THREADS) take((block_heads + 1) / 2, c.heads);
  }

  void take(int heads, int all) {
    block_heads = heads;
    head_blocks = (all + heads - 1) / heads;
  }

  int threads() const { return QUERIES * group * block_heads; }
};

// A tile: where its queries lie.
struct Tile {
  int map, x, y, across;
  int first_head, heads;
  int64_t b;

  __device__ Tile(const CudaCall& c, const Grid& grid) : across(grid.across) {
    const int of_head = blockIdx.x % grid.head_blocks, of_tile = blockIdx.x / grid.head_blocks;
    const int tile = of_tile % grid.tiles;
    b = of_tile / grid.tiles;
    first_head = of_head * grid.block_heads;
    heads = min(grid.block_heads, c.heads - first_head);
    map = 0;
    while (map + 1 < c.queries.count && tile >= grid.first[map + 1]) ++map;
    x = (tile - grid.first[map]) % grid.columns[map] * across;
    y = (tile - grid.first[map]) / grid.columns[map] * (QUERIES / across);
  }

  __device__ bool has(const CudaCall& c, int query) const {
    return x + query % across < c.queries.width[map] && y + query / across < c.queries.height[map];
  }

  // Among all (batch, query) pairs.
  __device__ int64_t index(const CudaCall& c, int query) const {
    return b * c.queries.pixels + c.queries.start[map] +
           static_cast<int64_t>(y + query / across) * c.queries.width[map] + x + query % across;
  }
};

// A row's length in shared memory, such that the same place in neighbouring rows lies in another
// bank: an odd number of 4-byte words (of 8 bytes for double).
template <typename T>
__host__ __device__ int stride(int count) {
  if (sizeof(T) > 2) return count | 1;
  return ((count + 1) / 2 | 1) * 2;
}

// Copy rows of numbers, those of a tile's queries, between global and shared memory. A row's numbers
// follow each other in either; `at(query)` gives the place of the first in global memory.
template <bool TO_SHARED, typename T, typename At>
__device__ void copy_rows(const CudaCall& c, const Tile& tile, T* rows, int count, const At& at) {
  const int warps = blockDim.x / 32, lane = threadIdx.x % 32, length = stride<T>(count);
  for (int query = threadIdx.x / 32; query < QUERIES; query += warps) {
    if (!tile.has(c, query)) continue;
    auto* global = at(query);
    T* shared = rows + query * length;
    if (sizeof(T) == 2 && count % 2 == 0 && reinterpret_cast<uintptr_t>(global) % 4 == 0) {
      auto* words = reinterpret_cast<unsigned*>(const_cast<T*>(global));
      auto* shared_words = reinterpret_cast<unsigned*>(shared);
      for (int i = lane; i < count / 2; i += 32) {
        if constexpr (TO_SHARED) shared_words[i] = words[i];
        else words[i] = shared_words[i];
      }
    } else {
      for (int i = lane; i < count; i += 32) {
        if constexpr (TO_SHARED) shared[i] = global[i];
        else const_cast<T*>(global)[i] = shared[i];
      }
    }
  }
}

// ---- samples ----

// A query's numbers of one head, in shared memory: x, y and logit or weight of each sample.
template <typename S, typename A>
struct Samples {
  S* numbers;
  __device__ A operator()(int sample, int k) const { return static_cast<A>(numbers[3 * sample + k]); }
  __device__ void set(int sample, int k, A number) { numbers[3 * sample + k] = static_cast<S>(number); }
};

// How samples of a query lie on a level: where its centre is, and how much a step counts there.
template <typename A, bool FUSED>
struct Level {
  int w, h, plane;
  A centre_x, centre_y;  // in the level's pixels
  A scale_x, scale_y;    // of a sample's numbers: pixels, or fractions of the level

  __device__ Level(const CudaCall& c, const Tile& tile, int query, int level)
      : w(c.levels.width[level]),
        h(c.levels.height[level]),
        plane(static_cast<int>(c.levels.plane[level])),
        centre_x(0),
        centre_y(0),
        scale_x(w),
        scale_y(h) {
    if (!FUSED) return;
    scale_x = scale_y = 1;
    centre_x = (A(tile.x + query % tile.across) + A(0.5)) * (A(w) / A(c.queries.width[tile.map]));
    centre_y = (A(tile.y + query / tile.across) + A(0.5)) * (A(h) / A(c.queries.height[tile.map]));
  }
};

// The four pixels around a sample, and what each of them weighs. A place outside is moved to where
// all four weigh nothing or are border; a NaN weighs NaN, at a pixel that is safe to read.
template <typename A>
struct Corners {
  int pixel;             // upper left, in the plane
  A fx, fy;              // place between the four
  A inside_x, inside_y;  // 1 where moving the place changes the result, else 0
  A w00, w01, w10, w11;

  template <bool FUSED>
  __device__ Corners(const Level<A, FUSED>& level, A x, A y, A weight) {
    const int ix = split(x * level.scale_x + level.centre_x - A(0.5), level.w, fx, inside_x);
    const int iy = split(y * level.scale_y + level.centre_y - A(0.5), level.h, fy, inside_y);
    pixel = level.plane + (iy + 1) * (level.w + 2) + ix + 1;
    const A lower = weight * fy, upper = weight - lower;
    w01 = upper * fx;
    w11 = lower * fx;
    w00 = upper - w01;
    w10 = lower - w11;
  }

  __device__ static int split(A x, int size, A& fraction, A& inside) {
    inside = x > A(-1) && x < A(size) ? A(1) : A(0);
    x = x < A(-1) ? A(-1) : x;
    x = x > A(size) ? A(size) : x;
    const int whole = min(max(static_cast<int>(floor(x)), -1), size - 1);
    fraction = x - A(whole);
    return whole;
  }
};

// The channels of the four pixels that a thread has.
template <typename A, int CHANNELS>
struct Values {
  A v00[CHANNELS], v01[CHANNELS], v10[CHANNELS], v11[CHANNELS];

  template <typename T>
  __device__ Values(const T* at, int padded, int below) {
    load(at, v00);
    load(at + padded, v01);
    load(at + below, v10);
    load(at + below + padded, v11);
  }
};

// Copy the samples of a block's queries and heads to shared memory, or their gradients from it.
template <bool TO_SHARED, bool FUSED, typename S>
__device__ void copy_samples(const CudaCall& c, const Tile& tile, S* rows, int span) {
  if constexpr (FUSED) {
    const S* raw = static_cast<const S*>(TO_SHARED ? c.raw : c.grad_raw);
    copy_rows<TO_SHARED>(c, tile, rows, tile.heads * span, [&](int query) {
      return raw + (tile.index(c, query) * c.heads + tile.first_head) * span;
    });
  } else {
    S* locations = static_cast<S*>(TO_SHARED ? const_cast<void*>(c.locations) : c.grad_locations);
    S* weights = static_cast<S*>(TO_SHARED ? const_cast<void*>(c.weights) : c.grad_weights);
    const auto copy = [](S& shared, S& global) {
      if constexpr (TO_SHARED) shared = global;
      else global = shared;
    };
    const int samples = span / 3, length = stride<S>(tile.heads * span);
    for (int i = threadIdx.x; i < QUERIES * tile.heads * samples; i += blockDim.x) {
      const int query = i / (tile.heads * samples), sample = i % (tile.heads * samples);
      if (!tile.has(c, query)) continue;
      const int64_t at = (tile.index(c, query) * c.heads + tile.first_head) * samples + sample;
      S* row = rows + query * length + 3 * sample;
      copy(row[0], locations[2 * at]);
      copy(row[1], locations[2 * at + 1]);
      copy(row[2], weights[at]);
    }
  }
}

template <typename S, typename A>
__device__ A largest_logit(const Samples<S, A>& s, int count) {
  A most = s(0, 2);
  for (int i = 1; i < count; ++i) most = s(i, 2) > most ? s(i, 2) : most;
  return most;
}

// LEVELS and POINTS of the kernels are 0 where they are not known when compiled.
template <typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
__global__ void __launch_bounds__(MAX_THREADS) sample_kernel(const __grid_constant__ CudaCall c,
                                                               const __grid_constant__ Grid grid) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  const int levels = LEVELS ? LEVELS : c.levels.count, points = POINTS ? POINTS : c.points;
  const int span = 3 * levels * points;
  const Tile tile(c, grid);
  S* rows = reinterpret_cast<S*>(shared_memory);
  copy_samples<true, FUSED>(c, tile, rows, span);
  __syncthreads();

  const int part = threadIdx.x % grid.group, thread = threadIdx.x / grid.group;
  const int query = thread % QUERIES, head = thread / QUERIES;
  const bool busy = head < tile.heads && tile.has(c, query);
  A sum[CHANNELS] = {};
  if (busy) {
    const Samples<S, A> s{rows + query * stride<S>(tile.heads * span) + head * span};
    const A most = FUSED ? largest_logit(s, levels * points) : A(0);
    const T* plane = static_cast<const T*>(c.planes) + part * CHANNELS +
                     (tile.b * c.heads + tile.first_head + head) * c.levels.plane_pixels * c.padded;
    A total = 0;
#pragma unroll
    for (int l = 0; l < levels; ++l) {
      const Level<A, FUSED> level(c, tile, query, l);
#pragma unroll
      for (int point = 0; point < points; ++point) {
        const int i = l * points + point;
        const A weight = FUSED ? exp(s(i, 2) - most) : s(i, 2);
        total += weight;
        const Corners<A> k(level, s(i, 0), s(i, 1), weight);
        const Values<A, CHANNELS> v(plane + static_cast<int64_t>(k.pixel) * c.padded, c.padded,
                                    (level.w + 2) * c.padded);
#pragma unroll
        for (int d = 0; d < CHANNELS; ++d)
          sum[d] += k.w00 * v.v00[d] + k.w01 * v.v01[d] + k.w10 * v.v10[d] + k.w11 * v.v11[d];
      }
    }
    if (FUSED) {
      const A fraction = A(1) / total;
#pragma unroll
      for (int d = 0; d < CHANNELS; ++d) sum[d] *= fraction;
    }
  }

  __syncthreads();  // all have read their samples: the same memory takes the output
  T* outputs = reinterpret_cast<T*>(shared_memory);
  const int count = tile.heads * c.channels;
  if (busy) {
    T* to = outputs + query * stride<T>(count) + head * c.channels;
#pragma unroll
    for (int d = 0; d < CHANNELS; ++d)
      if (part * CHANNELS + d < c.channels) to[part * CHANNELS + d] = static_cast<T>(sum[d]);
  }
  __syncthreads();
  copy_rows<false>(c, tile, outputs, count, [&](int q) {
    return static_cast<T*>(c.output) + (tile.index(c, q) * c.heads + tile.first_head) * c.channels;
  });
}

template <typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
__global__ void __launch_bounds__(MAX_THREADS) gradient_kernel(const __grid_constant__ CudaCall c,
                                                               const __grid_constant__ Grid grid) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  const int levels = LEVELS ? LEVELS : c.levels.count, points = POINTS ? POINTS : c.points;
  const int span = 3 * levels * points;
  const Tile tile(c, grid);
  const int count = tile.heads * c.channels;
  S* rows = reinterpret_cast<S*>(shared_memory);
  const int rows_bytes = QUERIES * stride<S>(grid.block_heads * span) * sizeof(S);
  T* grads = reinterpret_cast<T*>(shared_memory + (rows_bytes + 15) / 16 * 16);
  copy_samples<true, FUSED>(c, tile, rows, span);
  copy_rows<true>(c, tile, grads, count, [&](int q) {
    return static_cast<const T*>(c.grad_output) +
           (tile.index(c, q) * c.heads + tile.first_head) * c.channels;
  });
  __syncthreads();

  const int part = threadIdx.x % grid.group, thread = threadIdx.x / grid.group;
  const int query = thread % QUERIES, head = thread / QUERIES;
  if (head < tile.heads && tile.has(c, query)) {
    A g[CHANNELS];
    const T* from = grads + query * stride<T>(count) + head * c.channels;
#pragma unroll
    for (int d = 0; d < CHANNELS; ++d) {
      const int channel = part * CHANNELS + d;
      g[d] = channel < c.channels ? static_cast<A>(from[channel]) : A(0);
    }
    Samples<S, A> s{rows + query * stride<S>(tile.heads * span) + head * span};
    A most = 0, fraction = 1;
    if (FUSED) {
      most = largest_logit(s, levels * points);
      A total = 0;
      for (int i = 0; i < levels * points; ++i) total += exp(s(i, 2) - most);
      fraction = A(1) / total;
    }
    const int64_t at_plane =
        part * CHANNELS +
        (tile.b * c.heads + tile.first_head + head) * c.levels.plane_pixels * c.padded;
    const T* plane = static_cast<const T*>(c.planes) + at_plane;
    constexpr int SAMPLES = LEVELS && POINTS ? LEVELS * POINTS : CUDA_MAX_SAMPLES;
    A weights[SAMPLES], d_weights[SAMPLES], mean = 0;
#pragma unroll
    for (int l = 0; l < levels; ++l) {
      const Level<A, FUSED> level(c, tile, query, l);
      const int below = (level.w + 2) * c.padded;
#pragma unroll
      for (int point = 0; point < points; ++point) {
        const int i = l * points + point;
        const A weight = FUSED ? exp(s(i, 2) - most) * fraction : s(i, 2);
        const Corners<A> k(level, s(i, 0), s(i, 1), weight);
        const int64_t pixel = static_cast<int64_t>(k.pixel) * c.padded;
        const Values<A, CHANNELS> v(plane + pixel, c.padded, below);
        A c00 = 0, c01 = 0, c10 = 0, c11 = 0;
#pragma unroll
        for (int d = 0; d < CHANNELS; ++d) {
          c00 += g[d] * v.v00[d];
          c01 += g[d] * v.v01[d];
          c10 += g[d] * v.v10[d];
          c11 += g[d] * v.v11[d];
        }
        // moving along x goes from the left pixels to the right ones, at the place's height
        const A top = c00 + k.fx * (c01 - c00), bottom = c10 + k.fx * (c11 - c10);
        const A right = (c01 - c00) + k.fy * ((c11 - c10) - (c01 - c00));
        const A d_weight = group_sum(top + k.fy * (bottom - top), grid.group);
        const A d_x = group_sum(right, grid.group) * weight * k.inside_x;
        const A d_y = group_sum(bottom - top, grid.group) * weight * k.inside_y;

        if (c.scale) {
          auto* to = static_cast<unsigned long long*>(c.grad_planes) + at_plane + pixel;
          add(to, g, k.w00, *c.scale);
          add(to + c.padded, g, k.w01, *c.scale);
          add(to + below, g, k.w10, *c.scale);
          add(to + below + c.padded, g, k.w11, *c.scale);
        } else {
          A* to = static_cast<A*>(c.grad_planes) + at_plane + pixel;
          add(to, g, k.w00);
          add(to + c.padded, g, k.w01);
          add(to + below, g, k.w10);
          add(to + below + c.padded, g, k.w11);
        }

        if (grid.group > 1) wait_for_group(grid.group);
        if (part == 0) {  // the group has read this sample: its gradients take its place
          s.set(i, 0, d_x * level.scale_x);
          s.set(i, 1, d_y * level.scale_y);
          if (!FUSED) s.set(i, 2, d_weight);
        }
        weights[i] = weight;
        d_weights[i] = d_weight;
        mean += weight * d_weight;
      }
    }
    if (FUSED && part == 0) {  // softmax
#pragma unroll
      for (int i = 0; i < levels * points; ++i) s.set(i, 2, weights[i] * (d_weights[i] - mean));
    }
  }

  __syncthreads();
  copy_samples<false, FUSED>(c, tile, rows, span);
}

// ---- planes ----

// A pixel of a plane, with its border.
struct PlanePixel {
  bool inside;
  int64_t value;  // the same among all pixels, if it is inside

  __device__ PlanePixel(const Maps& levels, int64_t at) {
    int level = 0;
    while (level + 1 < levels.count && at >= levels.plane[level + 1]) ++level;
    const int w = levels.width[level], across = w + 2;
    const int local = static_cast<int>(at - levels.plane[level]);
    const int y = local / across - 1, x = local % across - 1;
    inside = x >= 0 && x < w && y >= 0 && y < levels.height[level];
    value = levels.start[level] + static_cast<int64_t>(y) * w + x;
  }
};

constexpr int PACK_PIXELS = 32;  // of a block; times its heads

struct PlanePlace {
  bool busy;
  int head;
  int64_t b, at;

  __device__ explicit PlanePlace(const CudaCall& c) {
    const int64_t blocks = (c.levels.plane_pixels + PACK_PIXELS - 1) / PACK_PIXELS;
    const int head_blocks = (c.heads + blockDim.y - 1) / blockDim.y;
    head = blockIdx.x % head_blocks * blockDim.y + threadIdx.y;
    at = blockIdx.x / head_blocks % blocks * PACK_PIXELS + threadIdx.x;
    b = blockIdx.x / head_blocks / blocks;
    busy = head < c.heads && at < c.levels.plane_pixels;
  }
};

template <typename T>
__global__ void pack_kernel(const __grid_constant__ CudaCall c) {
  const PlanePlace place(c);
  if (!place.busy) return;
  const PlanePixel pixel(c.levels, place.at);
  const T* from = static_cast<const T*>(c.value) +
                  ((place.b * c.levels.pixels + pixel.value) * c.heads + place.head) * c.channels;
  T* to = static_cast<T*>(c.planes) +
          ((place.b * c.heads + place.head) * c.levels.plane_pixels + place.at) * c.padded;
  for (int d = 0; d < c.padded; ++d)
    to[d] = pixel.inside && d < c.channels ? from[d] : static_cast<T>(0.0f);
}

template <typename T>
__global__ void unpack_kernel(const __grid_constant__ CudaCall c) {
  using A = typename ComputedIn<T>::type;
  const PlanePlace place(c);
  if (!place.busy) return;
  const PlanePixel pixel(c.levels, place.at);
  if (!pixel.inside) return;
  const int64_t from =
      ((place.b * c.heads + place.head) * c.levels.plane_pixels + place.at) * c.padded;
  T* to = static_cast<T*>(c.grad_value) +
          ((place.b * c.levels.pixels + pixel.value) * c.heads + place.head) * c.channels;
  for (int d = 0; d < c.channels; ++d) {
    if (c.scale) {
      const double sum = static_cast<double>(static_cast<const long long*>(c.grad_planes)[from + d]);
      to[d] = static_cast<T>(static_cast<A>(sum / *c.scale));
    } else {
      to[d] = static_cast<T>(static_cast<const A*>(c.grad_planes)[from + d]);
    }
  }
}

// ---- launches ----

template <typename Kernel, typename... Arguments>
cudaError_t launch(Kernel kernel, int64_t blocks, dim3 threads, unsigned bytes, cudaStream_t stream,
                   const Arguments&... arguments) {
  if (blocks > 0x7fffffff) return cudaErrorInvalidConfiguration;
  if (bytes > SHARED_BYTES) {
    const auto status = cudaFuncSetAttribute(
        reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (status != cudaSuccess) return status;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = threads;
  config.dynamicSmemBytes = bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// Let `kernel` work on each pixel of each plane.
template <typename Kernel>
cudaError_t launch_on_planes(Kernel kernel, const CudaCall& c, cudaStream_t stream) {
  const int64_t blocks = (c.levels.plane_pixels + PACK_PIXELS - 1) / PACK_PIXELS;
  const dim3 threads(PACK_PIXELS, c.heads < 16 ? c.heads : 16);
  const int64_t head_blocks = (c.heads + threads.y - 1) / threads.y;
  return launch(kernel, c.batch * blocks * head_blocks, threads, 0, stream, c);
}

template <typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
cudaError_t launch_on_queries(const CudaCall& c, bool backward, cudaStream_t stream) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  Grid grid(c, CHANNELS);
  const auto bytes = [&] {
    const int heads = grid.block_heads;
    const unsigned samples =
        QUERIES * stride<S>(heads * 3 * c.levels.count * c.points) * sizeof(S);
    const unsigned channels = QUERIES * stride<T>(heads * c.channels) * sizeof(T);
    if (backward) return (samples + 15) / 16 * 16 + channels;
    return samples > channels ? samples : channels;
  };
  while (grid.block_heads > 1 && bytes() > SHARED_BYTES)
    grid.take((grid.block_heads + 1) / 2, c.heads);
  const int64_t blocks = c.batch * grid.tiles * grid.head_blocks;
  if (backward)
    return launch(gradient_kernel<T, CHANNELS, LEVELS, POINTS, FUSED>, blocks, grid.threads(),
                  bytes(), stream, c, grid);
  return launch(sample_kernel<T, CHANNELS, LEVELS, POINTS, FUSED>, blocks, grid.threads(), bytes(),
                stream, c, grid);
}

template <typename T, int CHANNELS>
cudaError_t launch_entry(const CudaCall& c, bool backward, cudaStream_t stream) {
  if (!c.fused) return launch_on_queries<T, CHANNELS, 0, 0, false>(c, backward, stream);
  if constexpr (sizeof(T) < 8) {
    if (c.points == 4 && c.levels.count == 1)
      return launch_on_queries<T, CHANNELS, 1, 4, true>(c, backward, stream);
    if (c.points == 4 && c.levels.count == 3)
      return launch_on_queries<T, CHANNELS, 3, 4, true>(c, backward, stream);
  }
  return launch_on_queries<T, CHANNELS, 0, 0, true>(c, backward, stream);
}

template <typename T>
cudaError_t launch_all(const CudaCall& c, bool backward, cudaStream_t stream) {
  auto status = launch_on_planes(pack_kernel<T>, c, stream);
  if (status == cudaSuccess && c.queries.pixels > 0) {
    switch (c.padded) {
      case 2: status = launch_entry<T, 2>(c, backward, stream); break;
      case 4: status = launch_entry<T, 4>(c, backward, stream); break;
      case 12: status = launch_entry<T, 12>(c, backward, stream); break;
      default: status = launch_entry<T, 8>(c, backward, stream);
    }
  }
  if (status == cudaSuccess && backward) status = launch_on_planes(unpack_kernel<T>, c, stream);
  return status;
}

const char* run(const CudaCall& c, bool backward, int device, void* stream) {
  if (c.batch * c.heads * c.channels == 0 || c.levels.plane_pixels == 0) return nullptr;
  int before = 0;
  auto status = cudaGetDevice(&before);
  if (status == cudaSuccess && before != device) status = cudaSetDevice(device);
  if (status != cudaSuccess) return cudaGetErrorString(status);
  const auto on = static_cast<cudaStream_t>(stream);
  switch (c.type) {
    case Number::float64: status = launch_all<double>(c, backward, on); break;
    case Number::float32: status = launch_all<float>(c, backward, on); break;
    case Number::float16: status = launch_all<__half>(c, backward, on); break;
    case Number::bfloat16: status = launch_all<__nv_bfloat16>(c, backward, on); break;
  }
  if (before != device) cudaSetDevice(before);
  if (status == cudaSuccess) return nullptr;
  cudaGetLastError();  // it is reported here: let nobody else find it
  return cudaGetErrorString(status);
}

}  // namespace

int cuda_padded_channels(int channels) {
  for (int width : {2, 4, 8, 12}) {
    if (channels <= width) return width;
  }
  int width = 16;
  while (width < channels) width *= 2;
  return width;
}

const char* cuda_forward(const CudaCall& c, int device, void* stream) {
  return run(c, false, device, stream);
}

const char* cuda_backward(const CudaCall& c, int device, void* stream) {
  return run(c, true, device, stream);
}

}  // namespace uvpt
