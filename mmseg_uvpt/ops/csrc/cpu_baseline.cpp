// The CPU kernels for any processor.
#include <initializer_list>
#include <new>

#include "cpu.h"

#define UVPT_ISA baseline
#define UVPT_BYTES 16
#include "cpu_kernel.inc"
