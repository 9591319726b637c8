//! Losses.

use super::array::Array;
use super::error::Result;
use super::ffi::{mlx_optional_int, mlxffi_cross_entropy, MLXFFI_REDUCTION_MEAN};

/// The mean cross-entropy of logits [..., classes] and targets [...], in nats, by one kernel.
pub fn cross_entropy(logits: &Array, targets: &Array) -> Result<Array> {
    masked_cross_entropy(logits, targets, &Array::empty())
}

/// The same over the positions where `mask` [...] is 1.
pub fn masked_cross_entropy(logits: &Array, targets: &Array, mask: &Array) -> Result<Array> {
    let nothing = mlx_optional_int { value: 0, has_value: false };
    Array::given(|res, s| unsafe {
        mlxffi_cross_entropy(res, logits.raw(), targets.raw(), mask.raw(), nothing, 0.0, MLXFFI_REDUCTION_MEAN, s)
    })
}

/// The mean of the squared differences.
pub fn mse(predictions: &Array, targets: &Array) -> Result<Array> {
    predictions.subtract(targets)?.square()?.mean(false)
}
