// Interface between the CUDA kernels, which know nothing of torch, and cuda.cpp, which does.
#pragma once

#include "geometry.h"

namespace uvpt {

// What the CUDA kernels take; deformable.py sends the rest through plain PyTorch.
constexpr int CUDA_MAX_CHANNELS = 128;  // of a head
constexpr int CUDA_MAX_SAMPLES = 32;    // levels times points

enum class Number { float64, float32, float16, bfloat16 };

// Arguments of one call. T is `type`; A, in which all is computed, is double for double, else float.
//
// A head's plane holds its values level after level, pixel after pixel, with a border of zeros of
// one pixel around each level, so that sampling needs no test for the border. Its channels are
// padded to `padded`, so that each thread moves whole vectors.
struct CudaCall {
  Maps levels;
  Maps queries;  // the classic entry has one map of 1 x Q
  int64_t batch;
  int heads, channels, padded, points;
  bool fused;
  Number type;

  const void* value;      // T (B, S, heads, channels)
  void* planes;           // T (B, heads, plane pixels, padded), filled from `value` first
  const void* raw;        // fused: T (B, Q, heads, levels, points, 3): x and y offset, logit
  const void* locations;  // classic: A (B, Q, heads, levels, points, 2), fractions of the map
  const void* weights;    // classic: A (B, Q, heads, levels, points)

  void* output;  // forward: T (B, Q, heads, channels)

  const void* grad_output;  // backward: T, as output
  void* grad_planes;        // zeros, shaped as planes; A, or with `scale` 64-bit integers
  const double* scale;      // one number: integers are gradients times it, sums in any order alike
  void* grad_value;         // T
  void* grad_raw;           // T
  void* grad_locations;     // A
  void* grad_weights;       // A
};

int cuda_padded_channels(int channels);

// Run a call's kernels, one after the other on a stream; wait for none of them. Return null, or
// what CUDA says is wrong.
const char* cuda_forward(const CudaCall& call, int device, void* stream);
const char* cuda_backward(const CudaCall& call, int device, void* stream);

}  // namespace uvpt
