//! The protocol cases: what only the ABI shows. Each returns when it is right.

use std::os::raw::{c_char, c_int, c_void};

use mlx::error::last_text;
use mlx::Array;

mod dtypes;
mod failures;
mod functions;
mod handles;
mod processes;
mod threads;

pub type Outcome = Result<(), Box<dyn std::error::Error>>;
pub type Case = fn() -> Outcome;

extern "C" {
    fn mlxffi_live_total() -> usize;
    fn mlxffi_live_kinds() -> usize;
    fn mlxffi_live_kind(kind: usize) -> *const c_char;
    fn mlxffi_clear_error();
}

/// How many objects of C++ are alive, when what C is done with is dropped.
pub fn live() -> usize {
    let _stream = mlx::array::default_stream(); // it stays, and counts
    mlx::closure::sweep();
    unsafe { mlxffi_live_total() }
}

/// The case of a name, or why Rust cannot say it.
pub fn find(id: &str) -> Result<Case, &'static str> {
    let lists = [functions::CASES, failures::CASES, handles::CASES, dtypes::CASES, threads::CASES, processes::CASES];
    let found = lists.iter().flat_map(|list| list.iter()).find(|(name, _)| *name == id);
    found.map(|(_, case)| *case).ok_or("this runner has no such case")
}

/// What is wrong with a case.
pub fn run(case: Case) -> Option<String> {
    case().err().map(|error| error.to_string())
}

/// A child's part of a case; the result is its status.
pub fn child(name: &str) -> i32 {
    processes::child(name)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, right: T) -> Outcome {
    if got == right {
        return Ok(());
    }
    Err(format!("{}: got {:?}, right {:?}", what, got, right).into())
}

/// The result must be an error, with `text` in it.
fn fails<T>(text: &str, result: mlx::Result<T>) -> Outcome {
    match result {
        Ok(_) => Err("got no error, right is one".into()),
        Err(error) if error.to_string().contains(text) => Ok(()),
        Err(error) => Err(format!("got the error {:?}, right has {:?}", error.to_string(), text).into()),
    }
}

fn item(arrays: &[Array]) -> mlx::Result<f64> {
    arrays[0].item()
}

fn scalars(numbers: &[f32]) -> mlx::Result<Vec<Array>> {
    numbers.iter().map(|&number| Array::scalar(number)).collect()
}

fn square(inputs: &[Array]) -> mlx::closure::FunctionResult {
    Ok(vec![inputs[0].square()?])
}

fn vector(numbers: &[f32]) -> mlx::Result<Array> {
    Array::from_floats(numbers, &[numbers.len() as i32])
}

fn address(name: &str) -> *mut c_void {
    crate::call::address(name).unwrap_or_else(|| panic!("the library has no {}", name))
}

/// A function of C that takes one handle.
///
/// # Safety
/// The function of that name does.
unsafe fn of_handle<R>(name: &str) -> extern "C" fn(*mut c_void) -> R {
    std::mem::transmute(address(name))
}

/// A status of a call that was made without the binding's check.
fn refused(what: &str, status: c_int) -> Outcome {
    equal(what, status, 1)?;
    equal("an error has a text", last_text().is_empty(), false)
}
