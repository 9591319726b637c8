//! Built on one thread, evaluated on another.

use std::os::raw::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, spawn};

use mlx::error::{check, last_text};
use mlx::ffi::{mlx_device, mlx_get_default_device, mlx_multiply, mlx_stream, mlx_thread_local_stream};
use mlx::handle::Owned;
use mlx::{Array, GradFn};

use super::{equal, fails, item, scalars, square, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[
    ("error-threads", error_threads),
    ("thread-default", thread_default),
    ("thread-evaluated", thread_evaluated),
    ("thread-local", thread_local),
    ("thread-unsafe", thread_unsafe),
    ("thread-gradients", thread_gradients),
];

extern "C" {
    fn mlx_stream_new_thread_unsafe(device: mlx_device) -> mlx_stream;
    fn mlx_thread_local_stream_new(device: mlx_device) -> mlx_thread_local_stream;
    fn mlx_thread_local_stream_get(res: *mut mlx_stream, streams: mlx_thread_local_stream) -> c_int;
    fn mlx_stream_get_index(res: *mut c_int, stream: mlx_stream) -> c_int;
}

/// What this binding keeps on its thread, taken to another one to see what comes of it.
struct Moved<T>(T);

// SAFETY: each case says why only one thread at a time uses it.
unsafe impl<T> Send for Moved<T> {}
unsafe impl<T> Sync for Moved<T> {}

/// The result of a function on another thread, which this one waits for.
fn elsewhere<T: Send>(function: impl FnOnce() -> T + Send) -> T {
    scope(|threads| threads.spawn(function).join()).expect("a thread that does not panic")
}

fn device() -> mlx::Result<Owned<mlx_device>> {
    Owned::given(|res| unsafe { mlx_get_default_device(res) })
}

fn mismatch(columns: usize) -> String {
    let numbers = vec![0.0; columns];
    let product = Array::from_floats(&[0.0], &[1, 1]).and_then(|one| one.matmul(&super::vector(&numbers)?));
    product.err().map_or(String::new(), |error| error.to_string())
}

fn error_threads() -> Outcome {
    let ours = mismatch(3);
    let theirs = elsewhere(|| mismatch(5));
    equal("our text is ours still", last_text(), ours.clone())?;
    equal("our text has our shape", ours.contains("(3,1)"), true)?;
    equal("their text has their shape", theirs.contains("(5,1)"), true)
}

fn thread_default() -> Outcome {
    // This thread waits.
    let nine = Moved(Array::scalar(3.0)?.square()?);
    let moved = &nine;
    let text = elsewhere(move || moved.0.eval().err().map(|error| error.to_string()));
    equal("an error about a stream", text.map(|text| text.contains("tream")), Some(true))?;
    equal("on its own thread", nine.0.item()?, 9.0)
}

fn thread_evaluated() -> Outcome {
    let nine = Array::scalar(3.0)?.square()?.evaluated()?;
    let sum = move || nine.array().add(&nine.array())?.item();
    let number = spawn(move || sum().map_err(|error| error.to_string())).join().expect("a thread that does not panic");
    equal("the sum on another thread", number?, 18.0)
}

fn index_of(streams: mlx_thread_local_stream) -> mlx::Result<c_int> {
    let stream = Owned::given(|res| unsafe { mlx_thread_local_stream_get(res, streams) })?;
    let mut index = 0;
    check(unsafe { mlx_stream_get_index(&mut index, stream.raw()) })?;
    Ok(index)
}

fn thread_local() -> Outcome {
    // The handle is only read.
    let streams = Moved(unsafe { Owned::from_raw(mlx_thread_local_stream_new(device()?.raw())) });
    let (here, moved) = (index_of(streams.0.raw())?, &streams);
    let there = elsewhere(move || index_of(moved.0.raw()).map_err(|error| error.to_string()))?;
    equal("one stream for two threads", here == there, false)?;
    equal("the stream of a thread", index_of(streams.0.raw())?, here)
}

fn thread_unsafe() -> Outcome {
    let stream = unsafe { Owned::from_raw(mlx_stream_new_thread_unsafe(device()?.raw())) };
    let three = Array::scalar(3.0)?;
    // This thread waits.
    let nine = Moved(Array::given(|res, _| unsafe { mlx_multiply(res, three.raw(), three.raw(), stream.raw()) })?);
    let moved = &nine;
    let number = elsewhere(move || moved.0.item().map_err(|error| error.to_string()))?;
    equal("the square on another thread", number, 9.0)
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn gradients_right(gradient: &GradFn, from: usize) -> mlx::Result<bool> {
    let mut right = true;
    for number in from..from + 50 {
        let (values, gradients) = gradient.apply(&scalars(&[number as f32])?)?;
        right &= item(&values)? == (number * number) as f64 && item(&gradients)? == 2.0 * number as f64;
    }
    Ok(right)
}

fn thread_gradients() -> Outcome {
    RUNS.store(0, Ordering::Relaxed);
    let counted = |inputs: &[Array]| {
        RUNS.fetch_add(1, Ordering::Relaxed);
        square(inputs)
    };
    // The function captures nothing, and C only reads the closure.
    let gradient = Moved(mlx::value_and_grad(counted, &[0])?);
    let shared = &gradient;
    let all = scope(|threads| {
        let each = |i: usize| threads.spawn(move || gradients_right(&shared.0, 100 * i).unwrap_or(false));
        let running: Vec<_> = (0..4).map(each).collect();
        running.into_iter().all(|thread| thread.join().unwrap_or(false))
    });
    equal("gradients on four threads", all, true)?;
    equal("runs", RUNS.load(Ordering::Relaxed), 200)?;
    fails("", gradient.0.apply(&[]))
}
