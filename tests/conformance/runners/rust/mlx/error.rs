//! Statuses as results; what a callback raised, on its way through C to the caller.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_int;
use std::panic::resume_unwind;
use std::sync::Once;

use super::ffi::{mlx_set_error_handler, mlxffi_ignore_errors, mlxffi_last_error_text};

#[derive(Debug)]
pub enum Error {
    /// MLX's own.
    Mlx(String),
    /// What a function under a transform returned as its error, the same object.
    Function(Box<dyn std::error::Error>),
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Mlx(text) => f.write_str(text),
            Error::Function(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// How a callback failed.
pub enum Failure {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

thread_local! {
    // Until the call of C that ran the callback has returned.
    static FAILURE: RefCell<Option<Failure>> = RefCell::new(None);
}

/// Keep a callback's failure for the caller of C. The callback then returns another status than 0.
pub fn keep(failure: Failure) {
    FAILURE.with(|kept| *kept.borrow_mut() = Some(failure));
}

/// The one place that turns a status into a result.
///
/// A panic of a callback goes on here: it must not unwind through C++.
pub fn check(status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    match FAILURE.with(|kept| kept.borrow_mut().take()) {
        Some(Failure::Panic(payload)) => resume_unwind(payload),
        Some(Failure::Error(error)) => Err(error),
        None => Err(Error::Mlx(last_text())),
    }
}

/// The text of this thread's last error; it is copied, since the next error overwrites it.
pub fn last_text() -> String {
    let text = unsafe { CStr::from_ptr(mlxffi_last_error_text()) };
    text.to_string_lossy().into_owned()
}

static QUIET: Once = Once::new();

/// Replace the handler that ends the process: a failing call keeps its error, per thread, for `check` to read.
pub fn install_handler() {
    extern "C" fn ignore(message: *const std::os::raw::c_char, data: *mut std::os::raw::c_void) {
        unsafe { mlxffi_ignore_errors(message, data) }
    }
    QUIET.call_once(|| unsafe { mlx_set_error_handler(ignore, std::ptr::null_mut(), None) });
}
