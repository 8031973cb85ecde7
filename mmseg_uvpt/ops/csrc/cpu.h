// Interface between the CPU kernels, which know nothing of torch, and cpu.cpp, which does.
#pragma once

#include "geometry.h"

namespace uvpt {

// Arguments of one call, the same for all of its tasks. A is float or double.
//
// A head's plane holds its values level after level, pixel after pixel, with a border of zeros of
// one pixel around each level, so that sampling needs no test for the border. Its channels are
// padded to `padded` so that they are whole vectors.
template <typename A>
struct CpuCall {
  Maps levels;
  Maps queries;  // the classic entry has one map of 1 x Q
  int64_t batch, heads;
  int channels, padded, points;
  bool fused;

  const A* value;      // (B, S, heads, channels)
  const A* raw;        // fused: (B, Q, heads, levels, points, 3): x and y offset, logit
  const A* locations;  // classic: (B, Q, heads, levels, points, 2), fractions of the map
  const A* weights;    // classic: (B, Q, heads, levels, points)

  A* output;  // forward: (B, Q, heads, channels)

  const A* grad_output;  // backward, as output
  A* grad_value;         // these as their counterparts
  A* grad_raw;
  A* grad_locations;
  A* grad_weights;
};

int padded_channels(int channels);

// The tasks of a call, to be run by any number of threads. Each writes places that no other does
// and adds in an order of its own, so results do not depend on the number of threads.
template <typename A>
struct CpuKernels {
  void (*pack)(const CpuCall<A>&, int64_t batch, int64_t head, A* plane);
  void (*forward)(const CpuCall<A>&, int64_t batch, int64_t head, const A* plane, int64_t begin,
                  int64_t end);  // of the queries
  void (*backward)(const CpuCall<A>&, int64_t batch, int64_t head, const A* plane, A* grad_plane);
};

// The fastest kernels that this processor runs.
template <typename A>
CpuKernels<A> cpu_kernels(int channels, int points);

namespace baseline {
template <typename A>
CpuKernels<A> select(int channels, int points);
}
namespace avx2 {
template <typename A>
CpuKernels<A> select(int channels, int points);
}
namespace avx512 {
template <typename A>
CpuKernels<A> select(int channels, int points);
}

}  // namespace uvpt
