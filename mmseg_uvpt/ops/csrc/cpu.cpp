// The CPU backend: tensors to the kernels' arguments, tasks to threads, and its registration.
#include "cpu.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "arguments.h"

namespace uvpt {

int padded_channels(int channels) { return channels <= 2 ? 2 : (channels + 3) / 4 * 4; }

template <typename A>
CpuKernels<A> cpu_kernels(int channels, int points) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return avx512::select<A>(channels, points);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return avx2::select<A>(channels, points);
#endif
  return baseline::select<A>(channels, points);
}

namespace {

using at::Tensor;

// float16 and bfloat16 are widened first.
Tensor widened(const Tensor& tensor, at::ScalarType type) {
  return tensor.to(type).contiguous();
}

template <typename A>
class Call {
 public:
  Call(const Tensor& value, const Maps& levels, const Maps& queries, bool fused, int64_t points) {
    c_.levels = levels;
    c_.queries = queries;
    c_.batch = value.size(0);
    c_.heads = value.size(2);
    c_.channels = static_cast<int>(value.size(3));
    c_.padded = padded_channels(c_.channels);
    c_.points = static_cast<int>(points);
    c_.fused = fused;
    kernels_ = cpu_kernels<A>(c_.channels, c_.points);
    c_.value = value.const_data_ptr<A>();
    options_ = value.options();
  }

  CpuCall<A>& arguments() { return c_; }

  void forward() {
    const int64_t heads = c_.batch * c_.heads, threads = at::get_num_threads();
    const int64_t queries = c_.queries.pixels;
    if (heads >= threads) {  // a task a head: its plane stays in the cache
      at::parallel_for(0, heads, 1, [&](int64_t from, int64_t to) {
        const Tensor plane = planes(1);
        A* at = plane.template data_ptr<A>();
        for (int64_t head = from; head < to; ++head) {
          kernels_.pack(c_, head / c_.heads, head % c_.heads, at);
          kernels_.forward(c_, head / c_.heads, head % c_.heads, at, 0, queries);
        }
      });
      return;
    }
    const Tensor all = planes(heads);
    A* at = all.template data_ptr<A>();
    const int64_t size = c_.levels.plane_pixels * c_.padded;
    at::parallel_for(0, heads, 1, [&](int64_t from, int64_t to) {
      for (int64_t head = from; head < to; ++head)
        kernels_.pack(c_, head / c_.heads, head % c_.heads, at + head * size);
    });
    const int64_t parts = heads ? 4 * threads / heads : 0;
    const int64_t part = parts ? (queries + parts - 1) / parts : 0;
    at::parallel_for(0, heads * parts, 1, [&](int64_t from, int64_t to) {
      for (int64_t task = from; task < to; ++task) {
        const int64_t head = task / parts, begin = task % parts * part;
        kernels_.forward(c_, head / c_.heads, head % c_.heads, at + head * size, begin,
                         std::min(begin + part, queries));
      }
    });
  }

  // One task a head, so that each gradient plane has one writer: no atomics, always the same sums.
  void backward() {
    at::parallel_for(0, c_.batch * c_.heads, 1, [&](int64_t from, int64_t to) {
      const Tensor both = planes(2);
      A* at = both.template data_ptr<A>();
      A* grad = at + c_.levels.plane_pixels * c_.padded;
      for (int64_t head = from; head < to; ++head) {
        kernels_.pack(c_, head / c_.heads, head % c_.heads, at);
        kernels_.backward(c_, head / c_.heads, head % c_.heads, at, grad);
      }
    });
  }

 private:
  Tensor planes(int64_t count) const {
    return at::empty({count, c_.levels.plane_pixels, c_.padded}, options_);
  }

  CpuCall<A> c_{};
  CpuKernels<A> kernels_;
  at::TensorOptions options_;
};

Tensor output_like(const Tensor& value, const Maps& queries, at::ScalarType type) {
  return at::empty({value.size(0), queries.pixels, value.size(2) * value.size(3)},
                   value.options().dtype(type));
}

Tensor fused(const Tensor& value_, at::IntArrayRef value_sizes, const Tensor& raw_,
             at::IntArrayRef query_sizes) {
  const Maps levels = maps_of(value_sizes), queries = maps_of(query_sizes);
  check_fused(value_, levels, raw_, queries);
  const auto type = computed_in(value_);
  const Tensor value = widened(value_, type), raw = widened(raw_, type);
  Tensor output = output_like(value, queries, type);
  AT_DISPATCH_FLOATING_TYPES(type, "fused_deformable_attention", [&] {
    Call<scalar_t> call(value, levels, queries, true, raw.size(4));
    call.arguments().raw = raw.const_data_ptr<scalar_t>();
    call.arguments().output = output.data_ptr<scalar_t>();
    call.forward();
  });
  return output.to(value_.scalar_type());
}

std::tuple<Tensor, Tensor> fused_backward(const Tensor& grad_, const Tensor& value_,
                                          at::IntArrayRef value_sizes, const Tensor& raw_,
                                          at::IntArrayRef query_sizes) {
  const Maps levels = maps_of(value_sizes), queries = maps_of(query_sizes);
  check_fused(value_, levels, raw_, queries);
  check_gradient(grad_, value_, queries);
  const auto type = computed_in(value_);
  const Tensor value = widened(value_, type), raw = widened(raw_, type);
  const Tensor grad = widened(grad_, type);
  Tensor grad_value = at::empty_like(value), grad_raw = at::empty_like(raw);
  AT_DISPATCH_FLOATING_TYPES(type, "fused_deformable_attention_backward", [&] {
    Call<scalar_t> call(value, levels, queries, true, raw.size(4));
    auto& c = call.arguments();
    c.raw = raw.const_data_ptr<scalar_t>();
    c.grad_output = grad.const_data_ptr<scalar_t>();
    c.grad_value = grad_value.data_ptr<scalar_t>();
    c.grad_raw = grad_raw.data_ptr<scalar_t>();
    call.backward();
  });
  return {grad_value.to(value_.scalar_type()), grad_raw.to(raw_.scalar_type())};
}

Tensor classic(const Tensor& value_, at::IntArrayRef value_sizes, const Tensor& locations_,
               const Tensor& weights_) {
  const Maps levels = maps_of(value_sizes), queries = one_row(locations_.size(1));
  check_classic(value_, levels, locations_, weights_);
  const auto type = computed_in(value_);
  const Tensor value = widened(value_, type);
  const Tensor locations = widened(locations_, type), weights = widened(weights_, type);
  Tensor output = output_like(value, queries, type);
  AT_DISPATCH_FLOATING_TYPES(type, "deformable_attention", [&] {
    Call<scalar_t> call(value, levels, queries, false, weights.size(4));
    auto& c = call.arguments();
    c.locations = locations.const_data_ptr<scalar_t>();
    c.weights = weights.const_data_ptr<scalar_t>();
    c.output = output.data_ptr<scalar_t>();
    call.forward();
  });
  return output.to(value_.scalar_type());
}

std::tuple<Tensor, Tensor, Tensor> classic_backward(const Tensor& grad_, const Tensor& value_,
                                                    at::IntArrayRef value_sizes,
                                                    const Tensor& locations_,
                                                    const Tensor& weights_) {
  const Maps levels = maps_of(value_sizes), queries = one_row(locations_.size(1));
  check_classic(value_, levels, locations_, weights_);
  check_gradient(grad_, value_, queries);
  const auto type = computed_in(value_);
  const Tensor value = widened(value_, type), grad = widened(grad_, type);
  const Tensor locations = widened(locations_, type), weights = widened(weights_, type);
  Tensor grad_value = at::empty_like(value), grad_locations = at::empty_like(locations);
  Tensor grad_weights = at::empty_like(weights);
  AT_DISPATCH_FLOATING_TYPES(type, "deformable_attention_backward", [&] {
    Call<scalar_t> call(value, levels, queries, false, weights.size(4));
    auto& c = call.arguments();
    c.locations = locations.const_data_ptr<scalar_t>();
    c.weights = weights.const_data_ptr<scalar_t>();
    c.grad_output = grad.const_data_ptr<scalar_t>();
    c.grad_value = grad_value.data_ptr<scalar_t>();
    c.grad_locations = grad_locations.data_ptr<scalar_t>();
    c.grad_weights = grad_weights.data_ptr<scalar_t>();
    call.backward();
  });
  return {grad_value.to(value_.scalar_type()), grad_locations.to(locations_.scalar_type()),
          grad_weights.to(weights_.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(uvpt, CPU, m) {
  m.impl("fused_deformable_attention", fused);
  m.impl("fused_deformable_attention_backward", fused_backward);
  m.impl("deformable_attention", classic);
  m.impl("deformable_attention_backward", classic_backward);
}

}  // namespace uvpt
