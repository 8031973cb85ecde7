// The CUDA kernels: pack values into planes, sample them; and for gradients the same backwards.
//
// A warp serves a tile of neighbouring queries and a few heads, one head after the other. A thread
// has one query and CHANNELS of a head's channels; where a head has more, a group of neighbouring
// threads shares it. Neighbouring queries sample neighbouring pixels, so a warp touches few lines of
// one head's plane. What lies far apart in memory for such threads (a query's raw numbers, its
// output) goes through shared memory, where whole rows of it are copied at a time. Warps have parts
// of it of their own, and wait for nobody.
#include "cuda_kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

namespace uvpt {

extern __shared__ __align__(16) unsigned char shared_memory[];

namespace {

constexpr int WARPS = 4;                     // of a block, at most
constexpr unsigned SHARED_BYTES = 48 << 10;  // any GPU's blocks have so much

template <typename T>
struct ComputedIn {
  using type = float;
};
template <>
struct ComputedIn<double> {
  using type = double;
};

// Of a number that is at most 0: with an absolute error of 1e-7 where A is float.
__device__ inline float exponential(float x) {
#if defined(__CUDA_ARCH__)
  return __expf(x);
#else
  return exp(x);
#endif
}
__device__ inline double exponential(double x) { return exp(x); }

// ---- numbers in whole vectors ----

template <int BYTES>
struct alignas(BYTES) Bytes {
  unsigned short words[BYTES / 2];
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
  __device__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < VECTORS; ++i) vectors[i] = reinterpret_cast<const Vector*>(from)[i];
  }
  __device__ void store(T* to) const {
#pragma unroll
    for (int i = 0; i < VECTORS; ++i) reinterpret_cast<Vector*>(to)[i] = vectors[i];
  }
};

template <typename A, int N, typename T>
__device__ void load(const T* from, A (&to)[N]) {
  Pack<T, N> pack;
  pack.load(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = static_cast<A>(pack.numbers[i]);
}

#if defined(__CUDA_ARCH__)
// A bfloat16 is the upper half of a float: two of them take two instructions.
template <int N>
__device__ void load(const __nv_bfloat16* from, float (&to)[N]) {
  Pack<__nv_bfloat16, N> pack;
  pack.load(from);
#pragma unroll
  for (int i = 0; i < N; i += 2) {
    unsigned both;
    memcpy(&both, pack.numbers + i, 4);
    to[i] = __uint_as_float(both << 16);
    to[i + 1] = __uint_as_float(both & 0xffff0000u);
  }
}
#endif

template <typename A, int N, typename T>
__device__ void store(T* to, const A (&from)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.numbers[i] = static_cast<T>(from[i]);
  pack.store(to);
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

__host__ __device__ constexpr int rounded_up(int number, int to) {
  return (number + to - 1) / to * to;
}

// The bytes of a row in shared memory: such that vectors of 16 bytes at the same place in eight
// neighbouring rows lie in different banks.
__host__ __device__ constexpr int row_stride(int bytes) { return rounded_up(bytes, 16) | 16; }

// How a call is cut into warps' work: the heads of one tile follow each other, then tiles.
struct Grid {
  int group;             // threads that share a head's channels
  int queries;           // of a tile
  int across_log2;       // of the queries that a tile is wide
  int columns[MAX_MAPS];  // tiles of a map side by side
  int first[MAX_MAPS];    // a map's first tile
  int tiles = 0;
  int heads;        // that a warp serves
  int head_groups;  // of them
  int64_t units;    // a warp's work each
  int sample_row, channel_row;  // bytes from a query's numbers to the next one's in shared memory

  // `sample_bytes` are those of a head's samples of one query, `channel_bytes` those of its channels.
  Grid(const CudaCall& c, int channels, int sample_bytes, int channel_bytes) {
    group = c.padded / channels;
    queries = 32 / group;
    across_log2 = c.fused ? (log2_of(queries) + 1) / 2 : log2_of(queries);  // about square
    const int across = 1 << across_log2, down = queries / across;
    for (int map = 0; map < c.queries.count; ++map) {
      columns[map] = (c.queries.width[map] + across - 1) / across;
      first[map] = tiles;
      tiles += columns[map] * ((c.queries.height[map] + down - 1) / down);
    }
    // several heads make longer rows to copy, one head more warps
    for (heads = 4;; heads /= 2) {
      head_groups = (c.heads + heads - 1) / heads;
      units = c.batch * tiles * head_groups;
      sample_row = row_stride(heads * sample_bytes);
      channel_row = row_stride(heads * channel_bytes);
      if (heads == 1 || (units >= ENOUGH_UNITS && warp_bytes() <= WARP_BYTES)) break;
    }
  }

  __host__ __device__ int warp_bytes() const { return queries * (sample_row + channel_row); }

  static int log2_of(int power) { return power == 1 ? 0 : 1 + log2_of(power / 2); }

#ifdef UVPT_EMULATED
  static constexpr int ENOUGH_UNITS = 16;  // so that the tests' small maps come by all ways
#else
  static constexpr int ENOUGH_UNITS = 4096;  // several for each of a large GPU's schedulers
#endif
  static constexpr int WARP_BYTES = 8 << 10;
};

// A tile: where its queries lie, and the heads that the warp serves.
struct Tile {
  int map, x, y, across_log2;
  int first_head, heads;
  int64_t b;

  __device__ Tile(const CudaCall& c, const Grid& grid, int64_t unit) : across_log2(grid.across_log2) {
    const int64_t of_tile = unit / grid.head_groups;
    first_head = static_cast<int>(unit - of_tile * grid.head_groups) * grid.heads;
    heads = min(grid.heads, c.heads - first_head);
    b = of_tile / grid.tiles;
    const int tile = static_cast<int>(of_tile - b * grid.tiles);
    map = 0;
    while (map + 1 < c.queries.count && tile >= grid.first[map + 1]) ++map;
    const int local = tile - grid.first[map], row = local / grid.columns[map];
    x = (local - row * grid.columns[map]) << across_log2;
    y = row * (grid.queries >> across_log2);
  }

  __device__ int x_of(int query) const { return x + (query & ((1 << across_log2) - 1)); }
  __device__ int y_of(int query) const { return y + (query >> across_log2); }

  __device__ bool has(const CudaCall& c, int query) const {
    return x_of(query) < c.queries.width[map] && y_of(query) < c.queries.height[map];
  }

  // Among all (batch, query) pairs.
  __device__ int64_t index(const CudaCall& c, int query) const {
    return b * c.queries.pixels + c.queries.start[map] +
           static_cast<int64_t>(y_of(query)) * c.queries.width[map] + x_of(query);
  }
};

// ---- rows between global and shared memory ----

// Copy a word from global to shared memory, without waiting for it.
template <typename Word>
__device__ void copy_in(Word* shared, const Word* global) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (sizeof(Word) >= 4) {
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(global),
                 "n"(sizeof(Word)));
    return;
  }
#endif
  *shared = *global;
}

// Wait until the warp's copies are there for all its threads.
__device__ inline void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  __syncwarp(~0u);
}

template <bool TO_SHARED, typename Word, typename At>
__device__ void copy_words(const CudaCall& c, const Tile& tile, int queries, unsigned char* rows,
                           int stride, int bytes, const At& at) {
  const int words = bytes / static_cast<int>(sizeof(Word)), lane = threadIdx.x % 32;
  const int more_queries = 32 / words, more_words = 32 % words;
  int query = lane / words, word = lane % words;
  while (query < queries) {
    if (tile.has(c, query)) {
      auto* shared = reinterpret_cast<Word*>(rows + query * stride) + word;
      auto* global = reinterpret_cast<Word*>(at(query)) + word;
      if constexpr (TO_SHARED) copy_in(shared, global);
      else *global = *shared;
    }
    query += more_queries;
    word += more_words;
    if (word >= words) {
      word -= words;
      ++query;
    }
  }
}

// Copy a row of `bytes` for each of the tile's queries, by all threads of the warp; `at(query)` is
// the row's address in global memory, all of which lie multiples of `apart` bytes apart.
template <bool TO_SHARED, typename At>
__device__ void copy_rows(const CudaCall& c, const Tile& tile, int queries, unsigned char* rows,
                          int stride, int bytes, int apart, const At& at) {
  const auto odd = reinterpret_cast<uintptr_t>(at(0)) | static_cast<unsigned>(bytes | apart);
  if (odd % 16 == 0)
    copy_words<TO_SHARED, Bytes<16>>(c, tile, queries, rows, stride, bytes, at);
  else if (odd % 8 == 0)
    copy_words<TO_SHARED, Bytes<8>>(c, tile, queries, rows, stride, bytes, at);
  else if (odd % 4 == 0)
    copy_words<TO_SHARED, Bytes<4>>(c, tile, queries, rows, stride, bytes, at);
  else
    copy_words<TO_SHARED, Bytes<2>>(c, tile, queries, rows, stride, bytes, at);
}

// ---- samples ----

// A query's numbers of one head: x, y and logit or weight of each sample. COUNT of them lie in
// registers, or, where it is 0, any number in shared memory.
template <typename S, typename A, int COUNT>
struct Samples {
  Pack<S, 3 * COUNT> pack;
  __device__ explicit Samples(S* numbers) { pack.load(numbers); }
  __device__ A operator()(int sample, int k) const {
    return static_cast<A>(pack.numbers[3 * sample + k]);
  }
  __device__ void set(int sample, int k, A number) {
    pack.numbers[3 * sample + k] = static_cast<S>(number);
  }
  __device__ void store(S* numbers) const { pack.store(numbers); }
};
template <typename S, typename A>
struct Samples<S, A, 0> {
  S* numbers;
  __device__ explicit Samples(S* numbers) : numbers(numbers) {}
  __device__ A operator()(int sample, int k) const {
    return static_cast<A>(numbers[3 * sample + k]);
  }
  __device__ void set(int sample, int k, A number) {
    numbers[3 * sample + k] = static_cast<S>(number);
  }
  __device__ void store(S*) const {}
};

// Where a query's centre lies on each level, in the level's pixels. COUNT is as for samples.
template <typename A, bool FUSED, int LEVELS>
struct Centres {
  A x[LEVELS ? LEVELS : MAX_MAPS], y[LEVELS ? LEVELS : MAX_MAPS];

  __device__ Centres(const CudaCall& c, const Tile& tile, int query) {
#pragma unroll
    for (int l = 0; l < (LEVELS ? LEVELS : c.levels.count); ++l) {
      x[l] = y[l] = 0;
      if (!FUSED) continue;
      const A across = A(c.levels.width[l]) / A(c.queries.width[tile.map]);
      const A down = A(c.levels.height[l]) / A(c.queries.height[tile.map]);
      x[l] = (A(tile.x_of(query)) + A(0.5)) * across;
      y[l] = (A(tile.y_of(query)) + A(0.5)) * down;
    }
  }
};

// How samples of a query lie on a level: where its centre is, and how much a step counts there.
template <typename A, bool FUSED>
struct Level {
  int w, h, plane;
  A centre_x, centre_y;
  A scale_x, scale_y;  // of a sample's numbers: pixels, or fractions of the level

  template <typename Centres>
  __device__ Level(const Maps& levels, const Centres& centres, int l)
      : w(levels.width[l]),
        h(levels.height[l]),
        plane(static_cast<int>(levels.plane[l])),
        centre_x(centres.x[l]),
        centre_y(centres.y[l]),
        scale_x(FUSED ? A(1) : A(w)),
        scale_y(FUSED ? A(1) : A(h)) {}
};

// Of a number that is -1 or more; of NaN 0 or -1.
__device__ inline int rounded_down(float x) { return __float2int_rd(x); }
__device__ inline int rounded_down(double x) { return max(__double2int_rd(x), -1); }

// The four pixels around a sample, and what each of them weighs. A place outside is moved to where
// all four weigh nothing or are border (which is not enough where the map's edge is infinite); a NaN weighs NaN, at a pixel that is safe to read.
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
    const int whole = min(rounded_down(x), size - 1);
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

// Copy the samples of a warp's queries and heads to shared memory, or their gradients from it.
template <bool TO_SHARED, bool FUSED, typename S>
__device__ void copy_samples(const CudaCall& c, const Tile& tile, const Grid& grid,
                             unsigned char* rows, int span) {
  if constexpr (FUSED) {
    S* raw = static_cast<S*>(TO_SHARED ? const_cast<void*>(c.raw) : c.grad_raw);
    const int bytes = span * static_cast<int>(sizeof(S));  // of a head
    copy_rows<TO_SHARED>(c, tile, grid.queries, rows, grid.sample_row, tile.heads * bytes,
                         c.heads * bytes, [&](int query) {
                           return raw + (tile.index(c, query) * c.heads + tile.first_head) * span;
                         });
  } else {
    S* locations = static_cast<S*>(TO_SHARED ? const_cast<void*>(c.locations) : c.grad_locations);
    S* weights = static_cast<S*>(TO_SHARED ? const_cast<void*>(c.weights) : c.grad_weights);
    const auto copy = [](S& shared, S& global) {
      if constexpr (TO_SHARED) shared = global;
      else global = shared;
    };
    const int samples = span / 3, of_query = tile.heads * samples;
    for (int i = threadIdx.x % 32; i < grid.queries * of_query; i += 32) {
      const int query = i / of_query, sample = i % of_query;
      if (!tile.has(c, query)) continue;
      const int64_t at = (tile.index(c, query) * c.heads + tile.first_head) * samples + sample;
      S* row = reinterpret_cast<S*>(rows + query * grid.sample_row) + 3 * sample;
      copy(row[0], locations[2 * at]);
      copy(row[1], locations[2 * at + 1]);
      copy(row[2], weights[at]);
    }
  }
}

// Copy the channels of a warp's queries and heads: from the output's gradient, or to the output.
template <bool TO_SHARED, typename T>
__device__ void copy_channels(const CudaCall& c, const Tile& tile, const Grid& grid,
                              unsigned char* rows) {
  T* all = static_cast<T*>(TO_SHARED ? const_cast<void*>(c.grad_output) : c.output);
  const int bytes = c.channels * static_cast<int>(sizeof(T));  // of a head
  copy_rows<TO_SHARED>(c, tile, grid.queries, rows, grid.channel_row, tile.heads * bytes,
                       c.heads * bytes, [&](int query) {
                         return all + (tile.index(c, query) * c.heads + tile.first_head) * c.channels;
                       });
}

template <typename A, typename Samples>
__device__ A largest_logit(const Samples& s, int count) {
  A most = s(0, 2);
#pragma unroll
  for (int i = 1; i < count; ++i) most = s(i, 2) > most ? s(i, 2) : most;
  return most;
}

// What a thread does: its query, its part of the channels, its warp's part of shared memory.
struct Place {
  unsigned char *sample_rows, *channel_rows;
  int part, query;

  __device__ explicit Place(const Grid& grid) {
    sample_rows = shared_memory + threadIdx.x / 32 * grid.warp_bytes();
    channel_rows = sample_rows + grid.queries * grid.sample_row;
    part = threadIdx.x % 32 % grid.group;
    query = threadIdx.x % 32 / grid.group;
  }
  __device__ static int64_t unit() {
    return static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  }
};

// LEVELS and POINTS of the kernels are 0 where they are not known when compiled.
template <typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
__global__ void __launch_bounds__(32 * WARPS) sample_kernel(const __grid_constant__ CudaCall c,
                                                             const __grid_constant__ Grid grid) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  const int levels = LEVELS ? LEVELS : c.levels.count, points = POINTS ? POINTS : c.points;
  const int span = 3 * levels * points, stride = CHANNELS == 8 ? c.padded : CHANNELS;
  if (Place::unit() >= grid.units) return;
  const Tile tile(c, grid, Place::unit());
  const Place place(grid);
  copy_samples<true, FUSED, S>(c, tile, grid, place.sample_rows, span);
  wait_for_copies();

  if (tile.has(c, place.query)) {
    S* numbers = reinterpret_cast<S*>(place.sample_rows + place.query * grid.sample_row);
    T* to = reinterpret_cast<T*>(place.channel_rows + place.query * grid.channel_row);
    const T* plane = static_cast<const T*>(c.planes) + place.part * CHANNELS +
                     (tile.b * c.heads + tile.first_head) * c.levels.plane_pixels * stride;
    const Centres<A, FUSED, LEVELS> centres(c, tile, place.query);
#pragma unroll 1
    for (int head = 0; head < tile.heads; ++head) {
      const Samples<S, A, LEVELS * POINTS> s(numbers);
      const A most = FUSED ? largest_logit<A>(s, levels * points) : A(0);
      A total = 0, sum[CHANNELS] = {};
#pragma unroll
      for (int l = 0; l < levels; ++l) {
        const Level<A, FUSED> level(c.levels, centres, l);
#pragma unroll
        for (int point = 0; point < points; ++point) {
          const int i = l * points + point;
          const A weight = FUSED ? exponential(s(i, 2) - most) : s(i, 2);
          total += weight;
          const Corners<A> k(level, s(i, 0), s(i, 1), weight);
          const Values<A, CHANNELS> v(plane + k.pixel * static_cast<unsigned>(stride), stride,
                                      (level.w + 2) * stride);
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
      if (c.channels == stride) {
        store(to + place.part * CHANNELS, sum);
      } else {
#pragma unroll
        for (int d = 0; d < CHANNELS; ++d)
          if (place.part * CHANNELS + d < c.channels)
            to[place.part * CHANNELS + d] = static_cast<T>(sum[d]);
      }
      numbers += span;
      to += c.channels;
      plane += c.levels.plane_pixels * stride;
    }
  }

  __syncwarp(~0u);
  copy_channels<false, T>(c, tile, grid, place.channel_rows);
}

template <typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
__global__ void __launch_bounds__(32 * WARPS) gradient_kernel(const __grid_constant__ CudaCall c,
                                                               const __grid_constant__ Grid grid) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  const int levels = LEVELS ? LEVELS : c.levels.count, points = POINTS ? POINTS : c.points;
  const int span = 3 * levels * points, stride = c.padded;
  if (Place::unit() >= grid.units) return;
  const Tile tile(c, grid, Place::unit());
  const Place place(grid);
  copy_samples<true, FUSED, S>(c, tile, grid, place.sample_rows, span);
  copy_channels<true, T>(c, tile, grid, place.channel_rows);
  wait_for_copies();

  if (tile.has(c, place.query)) {
    S* numbers = reinterpret_cast<S*>(place.sample_rows + place.query * grid.sample_row);
    const T* from = reinterpret_cast<T*>(place.channel_rows + place.query * grid.channel_row);
    int64_t at_plane = place.part * CHANNELS +
                       (tile.b * c.heads + tile.first_head) * c.levels.plane_pixels * stride;
    const Centres<A, FUSED, LEVELS> centres(c, tile, place.query);
#pragma unroll 1
    for (int head = 0; head < tile.heads; ++head) {
      A g[CHANNELS];
      if (c.channels == stride) {
        load(from + place.part * CHANNELS, g);
      } else {
#pragma unroll
        for (int d = 0; d < CHANNELS; ++d) {
          const int channel = place.part * CHANNELS + d;
          g[d] = channel < c.channels ? static_cast<A>(from[channel]) : A(0);
        }
      }
      Samples<S, A, LEVELS * POINTS> s(numbers);
      A most = 0, fraction = 1;
      if (FUSED) {
        most = largest_logit<A>(s, levels * points);
        A total = 0;
#pragma unroll
        for (int i = 0; i < levels * points; ++i) total += exponential(s(i, 2) - most);
        fraction = A(1) / total;
      }
      const T* plane = static_cast<const T*>(c.planes) + at_plane;
      constexpr int SAMPLES = LEVELS && POINTS ? LEVELS * POINTS : CUDA_MAX_SAMPLES;
      A weights[SAMPLES], d_weights[SAMPLES], mean = 0;
#pragma unroll
      for (int l = 0; l < levels; ++l) {
        const Level<A, FUSED> level(c.levels, centres, l);
        const int below = (level.w + 2) * stride;
#pragma unroll
        for (int point = 0; point < points; ++point) {
          const int i = l * points + point;
          const A weight = FUSED ? exponential(s(i, 2) - most) * fraction : s(i, 2);
          const Corners<A> k(level, s(i, 0), s(i, 1), weight);
          const unsigned pixel = k.pixel * static_cast<unsigned>(stride);
          const Values<A, CHANNELS> v(plane + pixel, stride, below);
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
            add(to + stride, g, k.w01, *c.scale);
            add(to + below, g, k.w10, *c.scale);
            add(to + below + stride, g, k.w11, *c.scale);
          } else {
            A* to = static_cast<A*>(c.grad_planes) + at_plane + pixel;
            add(to, g, k.w00);
            add(to + stride, g, k.w01);
            add(to + below, g, k.w10);
            add(to + below + stride, g, k.w11);
          }

          if (LEVELS == 0 && grid.group > 1) wait_for_group(grid.group);
          if (LEVELS || place.part == 0) {  // the group has read this sample: gradients replace it
            s.set(i, 0, d_x * level.scale_x);
            s.set(i, 1, d_y * level.scale_y);
            if (!FUSED) s.set(i, 2, d_weight);
          }
          weights[i] = weight;
          d_weights[i] = d_weight;
          mean += weight * d_weight;
        }
      }
      if (place.part == 0) {
        if (FUSED) {  // softmax
#pragma unroll
          for (int i = 0; i < levels * points; ++i)
            s.set(i, 2, weights[i] * (d_weights[i] - mean));
        }
        s.store(numbers);
      }
      numbers += span;
      from += c.channels;
      at_plane += c.levels.plane_pixels * stride;
    }
  }

  __syncwarp(~0u);
  copy_samples<false, FUSED, S>(c, tile, grid, place.sample_rows, span);
}

// ---- planes ----

// How planes are cut into blocks' work: some pixels (borders among them) of some heads.
struct PlaneGrid {
  int pixels, heads;  // of a block
  int64_t pixel_blocks, head_blocks;
  int row;  // bytes from a pixel's numbers to the next one's in shared memory
  int64_t blocks;

  // `channel_bytes` are those of a head.
  PlaneGrid(const CudaCall& c, int channel_bytes) {
    heads = TILE_BYTES / MIN_PIXELS / channel_bytes;
    heads = heads < 1 ? 1 : heads < c.heads ? heads : c.heads;
    pixels = MAX_PIXELS;
    while (pixels > MIN_PIXELS && pixels * heads * channel_bytes > TILE_BYTES) pixels /= 2;
    pixel_blocks = (c.levels.plane_pixels + pixels - 1) / pixels;
    head_blocks = (c.heads + heads - 1) / heads;
    row = row_stride(heads * channel_bytes);
    blocks = c.batch * pixel_blocks * head_blocks;
  }

  static constexpr int TILE_BYTES = 8 << 10, MIN_PIXELS = 8, MAX_PIXELS = 64, THREADS = 256;
  static constexpr int HEADER = MAX_PIXELS * sizeof(int);  // bytes in shared memory before the tile
};

// A block's pixels and heads; where each pixel lies among the values is in shared memory.
struct PlaneTile {
  int64_t b, first;
  int pixels, first_head, heads;

  __device__ PlaneTile(const CudaCall& c, const PlaneGrid& grid) {
    const int64_t of_pixels = blockIdx.x / grid.head_blocks;
    first_head = static_cast<int>(blockIdx.x - of_pixels * grid.head_blocks) * grid.heads;
    heads = min(grid.heads, c.heads - first_head);
    b = of_pixels / grid.pixel_blocks;
    first = (of_pixels - b * grid.pixel_blocks) * grid.pixels;
    pixels = static_cast<int>(c.levels.plane_pixels - first < grid.pixels
                                  ? c.levels.plane_pixels - first
                                  : grid.pixels);
    if (threadIdx.x < static_cast<unsigned>(pixels))
      sources()[threadIdx.x] = value_of(c.levels, first + threadIdx.x);
  }

  // A pixel's place among the values, -1 on a border.
  __device__ static int value_of(const Maps& levels, int64_t at) {
    int level = 0;
    while (level + 1 < levels.count && at >= levels.plane[level + 1]) ++level;
    const int w = levels.width[level], local = static_cast<int>(at - levels.plane[level]);
    const int row = local / (w + 2), x = local - row * (w + 2) - 1, y = row - 1;
    const bool inside = x >= 0 && x < w && y >= 0 && y < levels.height[level];
    return inside ? static_cast<int>(levels.start[level]) + y * w + x : -1;
  }

  __device__ static int* sources() { return reinterpret_cast<int*>(shared_memory); }
  template <typename Word>
  __device__ static Word* row(const PlaneGrid& grid, int pixel) {
    return reinterpret_cast<Word*>(shared_memory + PlaneGrid::HEADER + pixel * grid.row);
  }

  // The place of a pixel's numbers, a head's `count` each, in (batch, pixel, head) order, ...
  __device__ int64_t in_values(const CudaCall& c, int value, int count) const {
    return ((b * c.levels.pixels + value) * c.heads + first_head) * count;
  }
  // ... and of a block's pixel and head in (batch, head, pixel) order.
  __device__ int64_t in_planes(const CudaCall& c, int head, int pixel, int count) const {
    return ((b * c.heads + first_head + head) * c.levels.plane_pixels + first + pixel) * count;
  }
};

// Word is a part of a head's channels.
template <typename Word>
__global__ void __launch_bounds__(PlaneGrid::THREADS) pack_kernel(const __grid_constant__ CudaCall c,
                                                                  const __grid_constant__ PlaneGrid grid,
                                                                  int words, int padded_words) {
  const PlaneTile tile(c, grid);
  __syncthreads();
  const int of_pixel = tile.heads * words;
  for (int i = threadIdx.x; i < tile.pixels * of_pixel; i += PlaneGrid::THREADS) {
    const int pixel = i / of_pixel, word = i - pixel * of_pixel, value = tile.sources()[pixel];
    if (value >= 0)
      tile.row<Word>(grid, pixel)[word] =
          static_cast<const Word*>(c.value)[tile.in_values(c, value, words) + word];
  }
  __syncthreads();
  const int of_head = tile.pixels * padded_words;
  for (int i = threadIdx.x; i < tile.heads * of_head; i += PlaneGrid::THREADS) {
    const int head = i / of_head, in_head = i - head * of_head;
    const int pixel = in_head / padded_words, word = in_head - pixel * padded_words;
    Word found{};
    if (word < words && tile.sources()[pixel] >= 0)
      found = tile.row<Word>(grid, pixel)[head * words + word];
    static_cast<Word*>(c.planes)[tile.in_planes(c, head, pixel, padded_words) + word] = found;
  }
}

// VECTOR numbers are read at once.
template <typename T, int VECTOR, typename Word>
__global__ void __launch_bounds__(PlaneGrid::THREADS) unpack_kernel(const __grid_constant__ CudaCall c,
                                                                    const __grid_constant__ PlaneGrid grid,
                                                                    int words) {
  using A = typename ComputedIn<T>::type;
  const PlaneTile tile(c, grid);
  __syncthreads();
  const int vectors = c.padded / VECTOR, of_head = tile.pixels * vectors;
  for (int i = threadIdx.x; i < tile.heads * of_head; i += PlaneGrid::THREADS) {
    const int head = i / of_head, in_head = i - head * of_head;
    const int pixel = in_head / vectors, vector = in_head - pixel * vectors;
    if (tile.sources()[pixel] < 0) continue;
    const int64_t from = tile.in_planes(c, head, pixel, c.padded) + vector * VECTOR;
    A sums[VECTOR];
    if (c.scale) {
      long long scaled[VECTOR];
      load(static_cast<const long long*>(c.grad_planes) + from, scaled);
#pragma unroll
      for (int d = 0; d < VECTOR; ++d) sums[d] = static_cast<A>(static_cast<double>(scaled[d]) / *c.scale);
    } else {
      load(static_cast<const A*>(c.grad_planes) + from, sums);
    }
    T* to = tile.row<T>(grid, pixel) + head * c.channels;
#pragma unroll
    for (int d = 0; d < VECTOR; ++d)
      if (vector * VECTOR + d < c.channels) to[vector * VECTOR + d] = static_cast<T>(sums[d]);
  }
  __syncthreads();
  const int of_pixel = tile.heads * words;
  for (int i = threadIdx.x; i < tile.pixels * of_pixel; i += PlaneGrid::THREADS) {
    const int pixel = i / of_pixel, word = i - pixel * of_pixel, value = tile.sources()[pixel];
    if (value >= 0)
      static_cast<Word*>(c.grad_value)[tile.in_values(c, value, words) + word] =
          tile.row<Word>(grid, pixel)[word];
  }
}

// ---- launches ----

template <typename Kernel, typename... Arguments>
cudaError_t launch(Kernel kernel, int64_t blocks, dim3 threads, unsigned bytes, cudaStream_t stream,
                   const Arguments&... arguments) {
  if (blocks > 0x7fffffff || bytes > SHARED_BYTES) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = threads;
  config.dynamicSmemBytes = bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <typename Word>
cudaError_t pack(const CudaCall& c, int channel_bytes, cudaStream_t stream) {
  const PlaneGrid grid(c, channel_bytes);
  const int words = channel_bytes / static_cast<int>(sizeof(Word));
  return launch(pack_kernel<Word>, grid.blocks, PlaneGrid::THREADS,
                PlaneGrid::HEADER + grid.pixels * grid.row, stream, c, grid, words,
                words * c.padded / c.channels);
}

template <typename T, int VECTOR, typename Word>
cudaError_t unpack(const CudaCall& c, int channel_bytes, cudaStream_t stream) {
  const PlaneGrid grid(c, channel_bytes);
  return launch(unpack_kernel<T, VECTOR, Word>, grid.blocks, PlaneGrid::THREADS,
                PlaneGrid::HEADER + grid.pixels * grid.row, stream, c, grid,
                channel_bytes / static_cast<int>(sizeof(Word)));
}

// Call `run` with a number of the widest type that divides `bytes`, and return what it returns.
template <typename Run>
cudaError_t in_words(int bytes, const Run& run) {
  if (bytes % 16 == 0) return run(Bytes<16>());
  if (bytes % 8 == 0) return run(Bytes<8>());
  if (bytes % 4 == 0) return run(Bytes<4>());
  return run(Bytes<2>());
}

template <bool BACKWARD, typename T, int CHANNELS, int LEVELS, int POINTS, bool FUSED>
cudaError_t launch_on_queries(const CudaCall& c, cudaStream_t stream) {
  using A = typename ComputedIn<T>::type;
  using S = typename std::conditional<FUSED, T, A>::type;
  const int sample_bytes = 3 * c.levels.count * c.points * static_cast<int>(sizeof(S));
  const Grid grid(c, CHANNELS, sample_bytes, c.channels * static_cast<int>(sizeof(T)));
  int warps = WARPS;
  while (warps > 1 && warps * grid.warp_bytes() > static_cast<int>(SHARED_BYTES)) --warps;
  const int64_t blocks = (grid.units + warps - 1) / warps;
  const unsigned bytes = warps * grid.warp_bytes();
  if constexpr (BACKWARD)
    return launch(gradient_kernel<T, CHANNELS, LEVELS, POINTS, FUSED>, blocks, 32 * warps, bytes,
                  stream, c, grid);
  else
    return launch(sample_kernel<T, CHANNELS, LEVELS, POINTS, FUSED>, blocks, 32 * warps, bytes,
                  stream, c, grid);
}

template <bool BACKWARD, typename T, int CHANNELS>
cudaError_t launch_entry(const CudaCall& c, cudaStream_t stream) {
  if (!c.fused) return launch_on_queries<BACKWARD, T, CHANNELS, 0, 0, false>(c, stream);
  if constexpr (sizeof(T) < 8) {
    if (c.points == 4 && c.levels.count == 1)
      return launch_on_queries<BACKWARD, T, CHANNELS, 1, 4, true>(c, stream);
    if (c.points == 4 && c.levels.count == 3)
      return launch_on_queries<BACKWARD, T, CHANNELS, 3, 4, true>(c, stream);
  }
  return launch_on_queries<BACKWARD, T, CHANNELS, 0, 0, true>(c, stream);
}

template <bool BACKWARD, typename T>
cudaError_t launch_on_queries_of(const CudaCall& c, cudaStream_t stream) {
  if (c.queries.pixels == 0) return cudaSuccess;
  // a vector of 16 bytes in either direction: of values that are read, or floats that are added
  constexpr int SHARED = BACKWARD ? 4 : 8;
  switch (c.padded) {
    case 2: return launch_entry<BACKWARD, T, 2>(c, stream);
    case 4: return launch_entry<BACKWARD, T, 4>(c, stream);
    case 12: return launch_entry<BACKWARD, T, 12>(c, stream);
    default: return launch_entry<BACKWARD, T, SHARED>(c, stream);
  }
}

template <typename T>
cudaError_t launch_all(const CudaCall& c, bool backward, cudaStream_t stream) {
  const int channel_bytes = c.channels * static_cast<int>(sizeof(T));
  // a view of a tensor may begin anywhere
  const int begins = static_cast<int>(reinterpret_cast<uintptr_t>(c.value) % 16);
  auto status = in_words(channel_bytes | begins, [&](auto word) {
    return pack<decltype(word)>(c, channel_bytes, stream);
  });
  if (status != cudaSuccess) return status;
  if (!backward) return launch_on_queries_of<false, T>(c, stream);
  status = launch_on_queries_of<true, T>(c, stream);
  if (status != cudaSuccess) return status;
  return in_words(channel_bytes, [&](auto word) {
    using Word = decltype(word);
    return c.padded % 4 == 0 ? unpack<T, 4, Word>(c, channel_bytes, stream)
                             : unpack<T, 2, Word>(c, channel_bytes, stream);
  });
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
