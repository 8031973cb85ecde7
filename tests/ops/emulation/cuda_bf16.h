#pragma once

#include <c10/util/BFloat16.h>

typedef c10::BFloat16 __nv_bfloat16;
