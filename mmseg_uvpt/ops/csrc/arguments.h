// Sizes as the operators receive them, and the checks that keep a kernel inside its tensors.
// Python checks first and with more words (deformable.py); these serve whoever calls torch.ops.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <limits>

#include "geometry.h"

namespace uvpt {

// Heights and widths in turn.
inline Maps maps_of(at::IntArrayRef sizes) {
  TORCH_CHECK(sizes.size() % 2 == 0 && sizes.size() <= 2 * MAX_MAPS, "sizes: expected 1 to ",
              MAX_MAPS, " pairs of height and width, got ", sizes.size(), " numbers");
  Maps maps;
  for (size_t i = 0; i < sizes.size(); i += 2) {
    TORCH_CHECK(sizes[i] >= 0 && sizes[i + 1] >= 0, "sizes: negative size in ", sizes);
    TORCH_CHECK(sizes[i] <= std::numeric_limits<int>::max() &&
                    sizes[i + 1] <= std::numeric_limits<int>::max(),
                "sizes: too large in ", sizes);
    maps.add(sizes[i], sizes[i + 1]);
  }
  return maps;
}

inline Maps one_row(int64_t queries) {
  TORCH_CHECK(queries <= std::numeric_limits<int>::max(), queries, " queries are too many");
  Maps maps;
  maps.add(1, queries);
  return maps;
}

// All arithmetic on float16 and bfloat16 is in float32.
inline at::ScalarType computed_in(const at::Tensor& value) {
  return value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline void check_value(const at::Tensor& value, const Maps& levels) {
  TORCH_CHECK(value.dim() == 4 && value.size(1) == levels.pixels && value.size(3) > 0,
              "value has shape ", value.sizes(), "; the sizes need (B, ", levels.pixels,
              ", heads, D)");
  TORCH_CHECK(levels.count > 0, "value_sizes is empty");
  // a place within one head's plane is an int
  TORCH_CHECK(levels.plane_pixels * (value.size(3) + 3) < std::numeric_limits<int>::max(),
              "value: a head has ", levels.pixels, " x ", value.size(3), " numbers, too many");
}

inline void check_like(const at::Tensor& value, const at::Tensor& other, const char* name) {
  TORCH_CHECK(other.device() == value.device(), name, " is on ", other.device(), ", value on ",
              value.device());
  TORCH_CHECK(other.size(0) == value.size(0) && other.size(2) == value.size(2), name,
              " has shape ", other.sizes(), ", value ", value.sizes());
}

// Of the output of a call, for its backward.
inline void check_gradient(const at::Tensor& grad, const at::Tensor& value, const Maps& queries) {
  TORCH_CHECK(grad.dim() == 3 && grad.size(0) == value.size(0) &&
                  grad.size(1) == queries.pixels && grad.size(2) == value.size(2) * value.size(3),
              "grad has shape ", grad.sizes(), ", expected (", value.size(0), ", ", queries.pixels,
              ", ", value.size(2) * value.size(3), ")");
  TORCH_CHECK(grad.device() == value.device() && grad.scalar_type() == value.scalar_type(),
              "grad is ", grad.scalar_type(), " on ", grad.device(), ", value ",
              value.scalar_type(), " on ", value.device());
}

inline void check_fused(const at::Tensor& value, const Maps& levels, const at::Tensor& raw,
                        const Maps& queries) {
  check_value(value, levels);
  TORCH_CHECK(raw.dim() == 6 && raw.size(1) == queries.pixels && raw.size(3) == levels.count &&
                  raw.size(4) > 0 && raw.size(5) == 3,
              "raw has shape ", raw.sizes(), ", expected (B, ", queries.pixels, ", heads, ",
              levels.count, ", points, 3)");
  check_like(value, raw, "raw");
  TORCH_CHECK(raw.scalar_type() == value.scalar_type(), "raw is ", raw.scalar_type(), ", value ",
              value.scalar_type());
}

inline void check_classic(const at::Tensor& value, const Maps& levels, const at::Tensor& locations,
                          const at::Tensor& weights) {
  check_value(value, levels);
  TORCH_CHECK(locations.dim() == 6 && locations.size(3) == levels.count && locations.size(5) == 2,
              "locations has shape ", locations.sizes(), ", expected (B, Q, heads, ", levels.count,
              ", points, 2)");
  TORCH_CHECK(weights.sizes() == locations.sizes().slice(0, 5), "weights has shape ",
              weights.sizes(), ", locations ", locations.sizes());
  check_like(value, locations, "locations");
  check_like(value, weights, "weights");
}

}  // namespace uvpt
