#pragma once

#include <c10/util/Half.h>

typedef c10::Half __half;
