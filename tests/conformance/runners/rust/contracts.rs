//! What a port does in its own language, by the names of the suite's contracts.

use mlx::{Array, Dtype};

use crate::json::Json;
use crate::tensors::{File, Tensor};

type Contract = fn(&Json, &File) -> mlx::Result<Vec<Tensor>>;

pub fn find(name: &str) -> Option<Contract> {
    match name {
        "batch" => Some(batch),
        "adapter" => Some(adapter),
        _ => None,
    }
}

/// A batch of records with tokens and an offset: inputs, targets, and which targets count.
fn batch(arguments: &Json, _: &File) -> mlx::Result<Vec<Tensor>> {
    let records = arguments.get("records").list();
    let tokens: Vec<Vec<i64>> = records.iter().map(|record| record.get("tokens").integers()).collect();
    let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
    let width = (1 + 32 * ((longest + 31) / 32)).min(arguments.get("max_seq_length").number() as usize);
    let shape = vec![records.len() as i32, width as i32 - 1];
    let shifted = |by: usize| {
        let element = |record: &Vec<i64>, t| *record.get(t + by).unwrap_or(&0) as i32;
        let rows = tokens.iter().flat_map(|record| (0..width - 1).map(move |t| element(record, t)));
        Tensor { dtype: Dtype::Int32, shape: shape.clone(), bytes: rows.flat_map(i32::to_le_bytes).collect() }
    };
    let counts = |(record, tokens): (&Json, &Vec<i64>)| -> Vec<u8> {
        let (offset, length) = (record.get("offset").number() as usize, tokens.len().min(width));
        (1..width).map(|t| (offset <= t && t < length) as u8).collect()
    };
    let mask = Tensor { dtype: Dtype::Bool, shape: shape.clone(), bytes: records.iter().zip(&tokens).flat_map(counts).collect() };
    Ok(vec![shifted(0), shifted(1), mask])
}

/// The adapter of a layer, as `x a b scale` takes it: a, b, scale, and the magnitudes of DoRA.
fn adapter(arguments: &Json, file: &File) -> mlx::Result<Vec<Tensor>> {
    let (config, layer, names) = (arguments.get("config"), arguments.get("layer").text(), arguments.get("file"));
    let number = |name| config.get(name).number();
    let peft = !config.get("peft_type").is_null();
    let array = |name: &str| match names.get(&if peft { format!("base_model.model.{}.{}", layer, name) } else { format!("{}.{}", layer, name) }) {
        Json::Text(name) => file[name.as_str()].array().map(Some),
        _ => Ok(None),
    };
    let [a, b, m] = if peft { ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"] } else { ["lora_a", "lora_b", "m"] };
    let (a, b) = (array(a)?.expect("a factor"), array(b)?.expect("a factor"));
    let lora = config.get("lora_parameters");
    let (turned, scale) = if peft {
        let rank = number("r");
        (true, number("lora_alpha") / if config.get("use_rslora") == &Json::Bool(true) { rank.sqrt() } else { rank })
    } else if !config.get("lora_layers").is_null() {
        (true, number("alpha") / number("rank"))
    } else if !lora.get("scale").is_null() {
        (false, lora.get("scale").number())
    } else {
        (false, lora.get("alpha").number() / lora.get("rank").number())
    };
    let (a, b) = if turned { (a.transpose()?, b.transpose()?) } else { (a, b) };
    let outputs = [Some(a), Some(b), Some(Array::scalar(scale as f32)?), array(m)?];
    outputs.iter().flatten().map(Tensor::of).collect()
}

/// A function of ours of the numbered values of a case, which stands beside its steps.
pub fn beside(contract: &Json) -> Option<fn(&Json, &[Array]) -> mlx::Result<Array>> {
    let arguments = contract.get("arguments");
    let plain = arguments.get("label_smoothing").is_null() && arguments.get("ignore_index").is_null();
    match (contract.get("name").text(), arguments.get("reduction").text()) {
        ("cross_entropy", "mean") if plain => Some(cross_entropy),
        ("mse", _) => Some(mse),
        _ => None,
    }
}

fn place(at: &Json, name: &str) -> usize {
    at.get(name).number() as usize
}

fn cross_entropy(at: &Json, values: &[Array]) -> mlx::Result<Array> {
    let (logits, targets) = (&values[place(at, "logits")], &values[place(at, "targets")]);
    match at.get("weights") {
        Json::Null => mlx::losses::cross_entropy(logits, targets),
        _ => mlx::losses::masked_cross_entropy(logits, targets, &values[place(at, "weights")]),
    }
}

fn mse(at: &Json, values: &[Array]) -> mlx::Result<Array> {
    mlx::losses::mse(&values[place(at, "prediction")], &values[place(at, "target")])
}
