// The CUDA backend: tensors to the kernels' arguments, and its registration. The tests compile this
// file for the CPU too, under another name, with a stand-in for CUDA.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <tuple>

#include "arguments.h"
#include "cuda_kernels.h"

#if defined(UVPT_EMULATED)
#define UVPT_LIBRARY uvpt_emulated
#define UVPT_KEY CPU
#else
#define UVPT_LIBRARY uvpt
#define UVPT_KEY CUDA
#if UVPT_TORCH >= 210
#include <c10/core/impl/VirtualGuardImpl.h>
#else
#include <c10/cuda/CUDAStream.h>
#endif
#endif

namespace uvpt {
namespace {

using at::Tensor;

void* stream_on(at::Device device) {
#ifdef UVPT_EMULATED
  return nullptr;
#elif UVPT_TORCH >= 210
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
#else
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
#endif
}

Number number_of(const Tensor& value) {
  switch (value.scalar_type()) {
    case at::kDouble: return Number::float64;
    case at::kFloat: return Number::float32;
    case at::kHalf: return Number::float16;
    case at::kBFloat16: return Number::bfloat16;
    default: TORCH_CHECK(false, "value is ", value.scalar_type(), ", no floating point number");
  }
}

// A call, and the memory that it needs while it runs.
class Call {
 public:
  CudaCall arguments{};

  // `value` is contiguous.
  Call(const Tensor& value, const Maps& levels, const Maps& queries, bool fused, int64_t points)
      : device_(value.device()) {
    TORCH_CHECK(value.size(3) <= CUDA_MAX_CHANNELS, "value: a head has ", value.size(3),
                " channels, more than the ", CUDA_MAX_CHANNELS, " of the CUDA kernels");
    TORCH_CHECK(levels.count * points <= CUDA_MAX_SAMPLES, "a query takes ", levels.count, " x ",
                points, " samples, more than the ", CUDA_MAX_SAMPLES, " of the CUDA kernels");
    auto& c = arguments;
    c.levels = levels;
    c.queries = queries;
    c.batch = value.size(0);
    c.heads = static_cast<int>(value.size(2));
    c.channels = static_cast<int>(value.size(3));
    c.padded = cuda_padded_channels(c.channels);
    c.points = static_cast<int>(points);
    c.fused = fused;
    c.type = number_of(value);
    c.value = value.const_data_ptr();
    planes_ = at::empty({c.batch, c.heads, levels.plane_pixels, c.padded}, value.options());
    c.planes = planes_.data_ptr();
  }

  void forward() { raise(cuda_forward(arguments, device_.index(), stream_on(device_))); }

  // `largest` bounds a query's weight. All on the device: the host waits for nothing.
  void backward(const Tensor& grad_output, const Tensor& grad_value, const Tensor& largest) {
    auto& c = arguments;
    c.grad_output = grad_output.const_data_ptr();
    c.grad_value = grad_value.data_ptr();
    auto options = grad_value.options().dtype(computed_in(grad_value));
    if (at::globalContext().deterministicAlgorithms() && grad_output.numel() > 0) {
      // The sum of a pixel is at most `most`; scaled by a power of 2, it fits 62 bits.
      const Tensor most = grad_output.abs().amax().to(at::kDouble) * largest *
                          static_cast<double>(c.queries.pixels);
      scale_ = at::exp2(at::clamp_max(62 - at::ceil(at::log2(most)), 1023));
      scale_ = at::where(most == 0, at::ones_like(scale_), scale_);
      c.scale = scale_.const_data_ptr<double>();
      options = options.dtype(at::kLong);
    }
    grad_planes_ = at::zeros(planes_.sizes(), options);
    c.grad_planes = grad_planes_.data_ptr();
    raise(cuda_backward(c, device_.index(), stream_on(device_)));
  }

 private:
  static void raise(const char* error) {
    TORCH_CHECK(error == nullptr, "deformable attention on CUDA: ", error);
  }

  at::Device device_;
  Tensor planes_, grad_planes_, scale_;
};

Tensor output_like(const Tensor& value, const Maps& queries) {
  return at::empty({value.size(0), queries.pixels, value.size(2) * value.size(3)}, value.options());
}

Tensor fused(const Tensor& value_, at::IntArrayRef value_sizes, const Tensor& raw_,
             at::IntArrayRef query_sizes) {
  const Maps levels = maps_of(value_sizes), queries = maps_of(query_sizes);
  check_fused(value_, levels, raw_, queries);
  const Tensor value = value_.contiguous(), raw = raw_.contiguous();
  Tensor output = output_like(value, queries);
  Call call(value, levels, queries, true, raw.size(4));
  call.arguments.raw = raw.const_data_ptr();
  call.arguments.output = output.data_ptr();
  call.forward();
  return output;
}

std::tuple<Tensor, Tensor> fused_backward(const Tensor& grad_, const Tensor& value_,
                                          at::IntArrayRef value_sizes, const Tensor& raw_,
                                          at::IntArrayRef query_sizes) {
  const Maps levels = maps_of(value_sizes), queries = maps_of(query_sizes);
  check_fused(value_, levels, raw_, queries);
  check_gradient(grad_, value_, queries);
  const Tensor value = value_.contiguous(), raw = raw_.contiguous(), grad = grad_.contiguous();
  Tensor grad_value = at::empty_like(value), grad_raw = at::empty_like(raw);
  Call call(value, levels, queries, true, raw.size(4));
  call.arguments.raw = raw.const_data_ptr();
  call.arguments.grad_raw = grad_raw.data_ptr();
  call.backward(grad, grad_value, at::ones({}, value.options().dtype(at::kDouble)));
  return {grad_value, grad_raw};
}

Tensor classic(const Tensor& value_, at::IntArrayRef value_sizes, const Tensor& locations_,
               const Tensor& weights_) {
  const Maps levels = maps_of(value_sizes), queries = one_row(locations_.size(1));
  check_classic(value_, levels, locations_, weights_);
  const Tensor value = value_.contiguous();
  const Tensor locations = locations_.to(computed_in(value)).contiguous();
  const Tensor weights = weights_.to(computed_in(value)).contiguous();
  Tensor output = output_like(value, queries);
  Call call(value, levels, queries, false, weights.size(4));
  call.arguments.locations = locations.const_data_ptr();
  call.arguments.weights = weights.const_data_ptr();
  call.arguments.output = output.data_ptr();
  call.forward();
  return output;
}

std::tuple<Tensor, Tensor, Tensor> classic_backward(const Tensor& grad_, const Tensor& value_,
                                                    at::IntArrayRef value_sizes,
                                                    const Tensor& locations_,
                                                    const Tensor& weights_) {
  const Maps levels = maps_of(value_sizes), queries = one_row(locations_.size(1));
  check_classic(value_, levels, locations_, weights_);
  check_gradient(grad_, value_, queries);
  const Tensor value = value_.contiguous(), grad = grad_.contiguous();
  const Tensor locations = locations_.to(computed_in(value)).contiguous();
  const Tensor weights = weights_.to(computed_in(value)).contiguous();
  Tensor grad_value = at::empty_like(value), grad_locations = at::empty_like(locations);
  Tensor grad_weights = at::empty_like(weights);
  Call call(value, levels, queries, false, weights.size(4));
  call.arguments.locations = locations.const_data_ptr();
  call.arguments.weights = weights.const_data_ptr();
  call.arguments.grad_locations = grad_locations.data_ptr();
  call.arguments.grad_weights = grad_weights.data_ptr();
  const Tensor largest = weights.numel() ? weights.abs().amax().to(at::kDouble) *
                                               static_cast<double>(weights.size(3) * weights.size(4))
                                         : at::ones({}, value.options().dtype(at::kDouble));
  call.backward(grad, grad_value, largest);
  return {grad_value, grad_locations.to(locations_.scalar_type()),
          grad_weights.to(weights_.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(UVPT_LIBRARY, UVPT_KEY, m) {
  m.impl("fused_deformable_attention", fused);
  m.impl("fused_deformable_attention_backward", fused_backward);
  m.impl("deformable_attention", classic);
  m.impl("deformable_attention_backward", classic_backward);
}

}  // namespace uvpt
