//! Losses, composed of operations.

use super::array::Array;
use super::error::Result;

// By position, in nats.
fn negative_log_likelihood(logits: &Array, targets: &Array) -> Result<Array> {
    let picked = logits.take_along_axis(&targets.expand_dims(-1)?, -1)?.squeeze(-1)?;
    logits.logsumexp(-1, false)?.subtract(&picked)
}

/// The mean cross-entropy of logits [..., classes] and targets [...], in nats.
pub fn cross_entropy(logits: &Array, targets: &Array) -> Result<Array> {
    negative_log_likelihood(logits, targets)?.mean(false)
}

/// The same over the positions where `mask` [...] is 1.
pub fn masked_cross_entropy(logits: &Array, targets: &Array, mask: &Array) -> Result<Array> {
    negative_log_likelihood(logits, targets)?.multiply(mask)?.sum(false)?.divide(&mask.sum(false)?)
}

/// The mean of the squared differences.
pub fn mse(predictions: &Array, targets: &Array) -> Result<Array> {
    predictions.subtract(targets)?.square()?.mean(false)
}
