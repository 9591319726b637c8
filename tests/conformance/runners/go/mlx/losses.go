package mlx

// negativeLogLikelihood is the cross-entropy at each position, in nats.
func negativeLogLikelihood(logits, targets *Array) *Array {
	picked := Squeeze(TakeAlongAxis(logits, ExpandDims(targets, -1), -1), -1)
	return Subtract(LogSumExp(logits, -1, false), picked)
}

// CrossEntropyLoss is the mean cross-entropy of logits [..., classes] and targets [...], in nats.
func CrossEntropyLoss(logits, targets *Array) *Array {
	return MeanAll(negativeLogLikelihood(logits, targets))
}

// MaskedCrossEntropyLoss is the same over the positions where mask [...] is 1.
func MaskedCrossEntropyLoss(logits, targets, mask *Array) *Array {
	return Divide(SumAll(Mul(negativeLogLikelihood(logits, targets), mask)), SumAll(mask))
}

// MSELoss is the mean of the squared differences.
func MSELoss(predictions, targets *Array) *Array {
	return MeanAll(Square(Subtract(predictions, targets)))
}
