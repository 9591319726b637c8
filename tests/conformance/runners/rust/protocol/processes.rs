//! What ends a process: each in a child.

use std::os::raw::{c_int, c_uint};
use std::process::Command;

use mlx::Array;

use super::{equal, square, vector, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[("fork-child", fork_child), ("exit-alive", exit_alive)];

const OWN_STATUS: i32 = 7;
const HANGS: c_uint = 20;

extern "C" {
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: c_uint) -> c_uint;
    fn _exit(status: c_int) -> !;
}

/// A forked child has one thread and locks of others: it computes nothing and leaves by _exit.
fn fork_child() -> Outcome {
    vector(&[1.0])?.eval()?;
    let process = unsafe { fork() };
    if process == 0 {
        unsafe { alarm(HANGS) };
        let refused = vector(&[1.0]).and_then(|x| x.add(&x)?.item()).is_err();
        unsafe { _exit(if refused { OWN_STATUS } else { 1 }) }
    }
    let mut status = 0;
    unsafe { waitpid(process, &mut status, 0) };
    equal("status of the child", status, OWN_STATUS << 8)
}

fn exit_alive() -> Outcome {
    let child = Command::new(std::env::current_exe()?).args(["", "--child", "exit-alive"]).output()?;
    equal("what it writes", String::from_utf8_lossy(&child.stderr).as_ref(), "")?;
    equal("its status", child.status.code(), Some(OWN_STATUS))
}

/// Leave the process with an array, a graph, a compiled function and a thread.
fn leave() -> mlx::Result<()> {
    let x = vector(&[1.0, 2.0])?;
    let light = mlx::checkpoint(square)?;
    let kept = mlx::vjp(move |inputs| Ok(light.apply(inputs)?), &[x.clone()], &[x.clone()])?;
    let fast = mlx::compile(square, false)?;
    fast.apply(&[x])?[0].eval()?;
    let (ready, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let computed = Array::scalar(1.0).and_then(|one| one.square()?.item()).is_ok();
        ready.send(computed).expect("a thread that waits");
        loop {
            std::thread::park();
        }
    });
    let computed = wait.recv().unwrap_or(false);
    std::mem::forget((kept, fast));
    std::process::exit(if computed { OWN_STATUS } else { 1 })
}

pub fn child(name: &str) -> i32 {
    match name {
        "exit-alive" => leave().map_or(1, |_| 1),
        _ => 2,
    }
}
