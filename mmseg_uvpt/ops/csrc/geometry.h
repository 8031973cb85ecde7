// What the CPU and the CUDA kernels share: sizes of maps, and where each map lies.
#pragma once

#include <cstdint>

namespace uvpt {

constexpr int MAX_MAPS = 8;  // levels of a value pyramid, or maps that the queries come from

// Maps whose pixels follow each other row by row, map after map.
struct Maps {
  int count = 0;
  int height[MAX_MAPS];
  int width[MAX_MAPS];
  int64_t start[MAX_MAPS];  // first pixel of the map among all pixels
  int64_t plane[MAX_MAPS];  // the same where each map has a border of one pixel around it
  int64_t pixels = 0;
  int64_t plane_pixels = 0;

  void add(int64_t h, int64_t w) {
    height[count] = static_cast<int>(h);
    width[count] = static_cast<int>(w);
    start[count] = pixels;
    plane[count] = plane_pixels;
    pixels += h * w;
    plane_pixels += (h + 2) * (w + 2);
    ++count;
  }
};

}  // namespace uvpt
