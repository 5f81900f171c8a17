/* Small loops that several kernels share, in both forms: put_f32, put_f64, ... */
#ifndef ENGINE_CPU_LOOPS_H
#define ENGINE_CPU_LOOPS_H

#include <string.h>

#include "models/engine/cpu/gemm.h"
#include "models/engine/cpu/kernels.h"
#include "models/engine/cpu/vector_math.h"

#define LOOP_CHUNK 16384 /* elements of a large array that one thread takes at a time */

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/loops.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/loops.inc"

#endif
