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
    let mask = Tensor {
        dtype: Dtype::Bool,
        shape: shape.clone(),
        bytes: records.iter().zip(&tokens).flat_map(counts).collect(),
    };
    Ok(vec![shifted(0), shifted(1), mask])
}

/// A kind of adapter file: the names of its tensors, whether its factors lie the other way round, and its scale.
struct Kind {
    names: [&'static str; 3],
    turned: bool,
    scale: f64,
}

const PEFT: [&str; 3] = [
    "base_model.model.PATH.lora_A.weight",
    "base_model.model.PATH.lora_B.weight",
    "base_model.model.PATH.lora_magnitude_vector",
];
const PLAIN: [&str; 3] = ["PATH.lora_a", "PATH.lora_b", "PATH.m"];

fn kind(config: &Json) -> Kind {
    let number = |name| config.get(name).number();
    let lora = config.get("lora_parameters");
    if !config.get("peft_type").is_null() {
        let stabilized = config.get("use_rslora") == &Json::Bool(true);
        let rank = if stabilized { number("r").sqrt() } else { number("r") };
        return Kind { names: PEFT, turned: true, scale: number("lora_alpha") / rank };
    }
    if !config.get("lora_layers").is_null() {
        return Kind { names: PLAIN, turned: true, scale: number("alpha") / number("rank") };
    }
    let scale = match lora.get("scale") {
        Json::Null => lora.get("alpha").number() / lora.get("rank").number(),
        scale => scale.number(),
    };
    Kind { names: PLAIN, turned: false, scale }
}

/// The adapter of a layer, as `x a b scale` takes it: a, b, scale, and the magnitudes of DoRA.
fn adapter(arguments: &Json, file: &File) -> mlx::Result<Vec<Tensor>> {
    let kind = kind(arguments.get("config"));
    let tensor = |name: &str| {
        let name = name.replace("PATH", arguments.get("layer").text());
        file.get(arguments.get("file").get(&name).text()).map(Tensor::array).transpose()
    };
    let factor = |name| {
        let given = tensor(name)?.expect("a factor of the adapter");
        if kind.turned {
            given.transpose()
        } else {
            Ok(given)
        }
    };
    let [a, b, m] = kind.names;
    let found = [Some(factor(a)?), Some(factor(b)?), Some(Array::scalar(kind.scale as f32)?), tensor(m)?];
    found.iter().flatten().map(Tensor::of).collect()
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
