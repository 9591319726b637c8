package mlx

/*
#include "trampolines.h"
*/
import "C"

// CrossEntropyLoss is the mean cross-entropy of logits [..., classes] and targets [...], in nats, by one kernel.
func CrossEntropyLoss(logits, targets *Array) *Array {
	return MaskedCrossEntropyLoss(logits, targets, &Array{})
}

// MaskedCrossEntropyLoss is the same over the positions where mask [...] is 1.
func MaskedCrossEntropyLoss(logits, targets, mask *Array) *Array {
	return op(func(res *C.mlx_array, s C.mlx_stream) C.int {
		ignored, mean := C.mlx_optional_int{}, C.mlxffi_reduction(C.MLXFFI_REDUCTION_MEAN)
		return C.mlxffi_cross_entropy(res, logits.handle, targets.handle, mask.handle, ignored, 0, mean, s)
	}, logits, targets, mask)
}

// MSELoss is the mean of the squared differences.
func MSELoss(predictions, targets *Array) *Array {
	return MeanAll(Square(Subtract(predictions, targets)))
}
