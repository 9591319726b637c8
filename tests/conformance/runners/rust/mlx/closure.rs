//! Rust functions as C closures.
//!
//! 1. The payload is a box with the function; C owns it and gives it back to `drop_payload`, once.
//! 2. C calls a trampoline with a place for outputs, inputs that stay C's, and the payload.
//! 3. The status is failure until the function has returned and its outputs are in place. An error and a panic are
//!    kept for this thread, and `check` gives them to the caller of C: a panic never unwinds through C++.
//! 4. A function may run no times, once or many times, one run inside another: hence `Fn`, and not `FnMut`. C keeps
//!    it in a graph for as long as it likes: hence `'static`.
//! 5. C runs the destructor on whichever thread drops the last copy, while what a function captures (arrays, `Rc`)
//!    belongs to its own thread. So the destructor only queues it there: that thread drops it at its next closure, or
//!    by `sweep`, which is for the end of a thread, too.

use std::collections::HashMap;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use super::array::Array;
use super::error::{check, install_handler, keep, Error, Failure, Result};
use super::ffi::*;
use super::handle::Owned;

struct Payload {
    thread: u64,
    // From lists of arrays (inputs; or primals, cotangents and outputs) to a list of arrays.
    function: Box<dyn Fn(&[Vec<Array>]) -> Result<Vec<Array>>>,
}

thread_local! {
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

// Payloads by thread, as addresses: on other threads they are not touched.
static DEAD: Mutex<Option<HashMap<u64, Vec<usize>>>> = Mutex::new(None);

/// Drop the functions of this thread that C is done with. One may have held the last closure of another.
pub fn sweep() {
    while let Some(addresses) = dead() {
        for address in addresses {
            drop(unsafe { Box::from_raw(address as *mut Payload) });
        }
    }
}

fn dead() -> Option<Vec<usize>> {
    let thread = THREAD.with(|&thread| thread);
    DEAD.lock().unwrap().as_mut()?.remove(&thread)
}

extern "C" fn drop_payload(payload: *mut c_void) {
    let thread = unsafe { (*(payload as *mut Payload)).thread };
    let mut queues = DEAD.lock().unwrap();
    queues.get_or_insert_with(HashMap::new).entry(thread).or_default().push(payload as usize);
}

fn payload(function: impl Fn(&[Vec<Array>]) -> Result<Vec<Array>> + 'static) -> *mut c_void {
    install_handler();
    sweep();
    let thread = THREAD.with(|&thread| thread);
    Box::into_raw(Box::new(Payload { thread, function: Box::new(function) })) as *mut c_void
}

fn run(res: *mut mlx_vector_array, inputs: &[mlx_vector_array], payload: *mut c_void) -> Result<()> {
    let lists = inputs.iter().map(|&vector| unpack(vector)).collect::<Result<Vec<_>>>()?;
    // Not a borrow of the payload for longer than its function runs: C holds it for the length of this call.
    let outputs = unsafe { &*(payload as *const Payload) }.function.as_ref()(&lists)?;
    let packed = pack(&outputs)?;
    check(unsafe { mlx_vector_array_set(res, packed.raw()) })
}

fn status(res: *mut mlx_vector_array, inputs: &[mlx_vector_array], payload: *mut c_void) -> c_int {
    match catch_unwind(AssertUnwindSafe(|| run(res, inputs, payload))) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => keep(Failure::Error(error)),
        Err(panic) => keep(Failure::Panic(panic)),
    }
    1
}

extern "C" fn call(res: *mut mlx_vector_array, inputs: mlx_vector_array, payload: *mut c_void) -> c_int {
    status(res, &[inputs], payload)
}

extern "C" fn call_custom(
    res: *mut mlx_vector_array,
    primals: mlx_vector_array,
    cotangents: mlx_vector_array,
    outputs: mlx_vector_array,
    payload: *mut c_void,
) -> c_int {
    status(res, &[primals, cotangents, outputs], payload)
}

/// A function under a transform fails with any error, which arrives at the caller as it is.
pub type FunctionResult = std::result::Result<Vec<Array>, Box<dyn std::error::Error>>;

// An error of ours goes through as it is, and is not wrapped once more at each nesting.
fn ours(error: Box<dyn std::error::Error>) -> Error {
    error.downcast::<Error>().map_or_else(Error::Function, |error| *error)
}

/// A closure of a function of a list of arrays.
pub fn closure(function: impl Fn(&[Array]) -> FunctionResult + 'static) -> Result<Owned<mlx_closure>> {
    let payload = payload(move |lists| function(&lists[0]).map_err(ours));
    let handle = unsafe { mlx_closure_new_func_payload(call, payload, drop_payload) };
    made(handle.ctx)?;
    Ok(unsafe { Owned::from_raw(handle) })
}

/// A closure of a gradient: of primals, cotangents and outputs.
pub fn custom(
    rule: impl Fn(&[Array], &[Array], &[Array]) -> FunctionResult + 'static,
) -> Result<Owned<mlx_closure_custom>> {
    let payload = payload(move |lists| rule(&lists[0], &lists[1], &lists[2]).map_err(ours));
    let handle = unsafe { mlx_closure_custom_new_func_payload(call_custom, payload, drop_payload) };
    made(handle.ctx)?;
    Ok(unsafe { Owned::from_raw(handle) })
}

// A constructor has no status: an empty handle is its failure. C has destroyed the payload then.
fn made(ctx: *mut c_void) -> Result<()> {
    check(ctx.is_null() as c_int)
}

/// A vector with references of its own.
pub fn pack(arrays: &[Array]) -> Result<Owned<mlx_vector_array>> {
    let handles: Vec<mlx_array> = arrays.iter().map(Array::raw).collect();
    Owned::given(|res| unsafe { mlx_vector_array_set_data(res, handles.as_ptr(), handles.len()) })
}

/// The arrays of a vector, which stays whose it is.
pub fn unpack(vector: mlx_vector_array) -> Result<Vec<Array>> {
    let size = unsafe { mlx_vector_array_size(vector) };
    (0..size).map(|i| Array::given(|res, _| unsafe { mlx_vector_array_get(res, vector, i) })).collect()
}
