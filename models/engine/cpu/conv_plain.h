/* Convolution by plain loops in float64, the yardstick of the fast one. */
#ifndef ENGINE_CPU_CONV_PLAIN_H
#define ENGINE_CPU_CONV_PLAIN_H

#include "models/engine/op.h"

Status conv_plain_forward(Op *op);
Status conv_plain_backward(Op *op);

#endif
