//! The interpreter of the cases that are data: README.md of the suite says what a case is.

use std::rc::Rc;

use mlx::{Array, Error};

use crate::call::{address, call};
use crate::contracts;
use crate::json::Json;
use crate::tensors::{File, Tensor};

type Function = Rc<dyn Fn(&[Array]) -> mlx::Result<Vec<Array>>>;

/// A function that the case needs and that is not there.
pub fn missing(case: &Json) -> Option<String> {
    let steps = case.get("steps").list().iter().map(|step| step.get("call").text());
    let needs = case.get("needs").list().iter().map(Json::text);
    let contract = case.get("contract").get("name").text();
    if case.get("steps").is_null() && contracts::find(contract).is_none() && !contract.is_empty() {
        return Some(contract.to_string());
    }
    needs.chain(steps).find(|name| address(name).is_none()).map(str::to_string)
}

fn arrays(names: &Json, file: &File) -> mlx::Result<Vec<Array>> {
    names.list().iter().map(|name| file[name.text()].array()).collect()
}

// What the steps of a case make of its values.
fn steps(case: &Json, mut values: Vec<Array>) -> mlx::Result<Vec<Array>> {
    for step in case.get("steps").list() {
        let results = call(step, &values)?;
        let gives = step.get("gives").number() as usize;
        if results.len() != gives {
            let name = step.get("call").text();
            return Err(Error::Mlx(format!("{} gives {} arrays, {} are right", name, results.len(), gives)));
        }
        values.extend(results);
    }
    Ok(case.get("returns").integers().into_iter().map(|place| values[place as usize].clone()).collect())
}

// What the function of ours beside the steps makes of them.
fn ours(case: &Json, values: Vec<Array>) -> mlx::Result<Vec<Array>> {
    let contract = case.get("contract");
    let function = contracts::beside(contract).expect("a function of ours");
    Ok(vec![function(contract.get("arguments").get("values"), &values)?])
}

type Body = fn(&Json, Vec<Array>) -> mlx::Result<Vec<Array>>;

fn joined((mut first, second): (Vec<Array>, Vec<Array>)) -> Vec<Array> {
    first.extend(second);
    first
}

// As the binding takes it: any error may come.
fn plain(function: &Function) -> impl Fn(&[Array]) -> mlx::closure::FunctionResult + 'static {
    let function = function.clone();
    move |inputs| Ok(function(inputs)?)
}

fn integers(list: &Json) -> Vec<i32> {
    list.integers().into_iter().map(|n| n as i32).collect()
}

/// The function that a transform makes of a function.
fn transformed(function: Function, transform: &Json, file: &File) -> mlx::Result<Function> {
    let directions = |name| arrays(transform.get(name), file);
    let argnums = integers(transform.get("argnums"));
    Ok(match transform.get("kind").text() {
        "vjp" => {
            let cotangents = directions("cotangents")?;
            Rc::new(move |inputs| mlx::vjp(plain(&function), inputs, &cotangents).map(joined))
        }
        "jvp" => {
            let tangents = directions("tangents")?;
            Rc::new(move |inputs| mlx::jvp(plain(&function), inputs, &tangents).map(joined))
        }
        "value_and_grad" => {
            let gradient = mlx::value_and_grad(plain(&function), &argnums)?;
            Rc::new(move |inputs| gradient.apply(inputs).map(joined))
        }
        "grad" => {
            let gradient = mlx::value_and_grad(plain(&function), &argnums)?;
            Rc::new(move |inputs| gradient.apply(inputs).map(|(_, gradients)| gradients))
        }
        "vmap" => {
            let axes = |name| integers(transform.get(name));
            let mapped = mlx::vmap(plain(&function), &axes("in_axes"), &axes("out_axes"))?;
            Rc::new(move |inputs| mapped.apply(inputs))
        }
        "checkpoint" => {
            let light = mlx::checkpoint(plain(&function))?;
            Rc::new(move |inputs| light.apply(inputs))
        }
        "compile" => {
            let fast = mlx::compile(plain(&function), transform.get("shapeless") == &Json::Bool(true))?;
            Rc::new(move |inputs| fast.apply(inputs).and_then(|_| fast.apply(inputs)))
        }
        kind => return Err(Error::Mlx(format!("this runner has no transform {}", kind))),
    })
}

// `body` computes of the inputs and what is captured.
fn outputs(case: &Rc<Json>, file: &File, body: Body) -> mlx::Result<Vec<Tensor>> {
    let (about, captured) = (case.clone(), arrays(case.get("captured"), file)?);
    let values = move |inputs: &[Array]| inputs.iter().chain(&captured).cloned().collect();
    let mut function: Function = Rc::new(move |inputs| body(&about, values(inputs)));
    for transform in case.get("transforms").list() {
        function = transformed(function, transform, file)?;
    }
    function(&arrays(case.get("inputs"), file)?)?.iter().map(Tensor::of).collect()
}

fn of_contract(case: &Json, file: &File) -> mlx::Result<Vec<Tensor>> {
    let contract = case.get("contract");
    let function = contracts::find(contract.get("name").text()).expect("a contract that is not missing");
    function(contract.get("arguments"), file)
}

fn difference(outputs: &[Tensor], expected: &Json, file: &File) -> Option<String> {
    let expected = expected.list();
    if outputs.len() != expected.len() {
        return Some(format!("got {} outputs, right {}", outputs.len(), expected.len()));
    }
    outputs.iter().zip(expected).enumerate().find_map(|(i, (output, right))| {
        let (rtol, atol) = (right.get("rtol").number(), right.get("atol").number());
        let text = output.difference(&file[right.get("tensor").text()], rtol, atol)?;
        Some(format!("output {}: {}", i, text))
    })
}

fn wrong(outputs: mlx::Result<Vec<Tensor>>, case: &Json, file: &File) -> Option<String> {
    let outputs = match (outputs, case.get("outcome").text()) {
        (Ok(_), "error") => return Some("got outputs, right is an error".into()),
        (Err(_), "error") => return None,
        (Err(error), _) => return Some(format!("got the error {:?}, right are outputs", error.to_string())),
        (Ok(outputs), _) => outputs,
    };
    let all: Vec<_> = case.get("expected").list().iter().map(|right| difference(&outputs, right, file)).collect();
    if all.iter().any(Option::is_none) {
        None
    } else {
        all.into_iter().next().flatten()
    }
}

/// None if the case is right, else what is wrong.
pub fn run(case: &Rc<Json>, file: &File) -> Option<String> {
    if case.get("steps").is_null() {
        return wrong(of_contract(case, file), case, file);
    }
    let beside = contracts::beside(case.get("contract")).and_then(|_| wrong(outputs(case, file, ours), case, file));
    beside.map(|text| format!("by the contract: {}", text)).or_else(|| wrong(outputs(case, file, steps), case, file))
}
