//! The runner: runner FOLDER [--expect FILE] [NAME...]

mod call;
mod cases;
mod contracts;
mod json;
mod protocol;
mod tensors;

use std::collections::HashSet;
use std::fs::read_to_string;
use std::process::exit;
use std::rc::Rc;

use json::Json;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What was asked for, and what came of it.
#[derive(Default)]
struct Report {
    prefixes: Vec<String>,
    expected: HashSet<String>,
    right: usize,
    total: usize,
    left_out: usize,
}

impl Report {
    fn wants(&self, name: &str) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Count a case, of which `wrong` says what is wrong.
    fn add(&mut self, name: &str, wrong: Option<String>) {
        self.total += 1;
        match (wrong, self.expected.contains(name)) {
            (None, true) => println!("unexpected pass: {}", name),
            (Some(text), false) => println!("failed: {}: {}", name, text),
            _ => self.right += 1,
        }
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out += 1;
        println!("left out: {}: {}", name, why);
    }

    /// Run a set: `run` counts its cases.
    fn set(&mut self, name: &str, run: impl FnOnce(&mut Self)) {
        let (right, total) = (self.right, self.total);
        run(self);
        println!("{}: {} of {}", name, self.right - right, self.total - total);
    }
}

fn content(path: &str) -> Outcome<String> {
    Ok(read_to_string(path).map_err(|error| format!("{}: {}", path, error))?)
}

fn read_json(path: &str) -> Outcome<Json> {
    Ok(Json::read(&content(path)?)?)
}

/// What is wrong with a case, if only with what it leaves behind.
fn without_leaks(run: impl FnOnce() -> Option<String>) -> Option<String> {
    let before = protocol::live();
    run().or_else(|| {
        let after = protocol::live();
        (after != before).then(|| format!("{} objects are alive afterwards, {} were before", after, before))
    })
}

fn run_vectors(report: &mut Report, path: &str) -> Outcome<()> {
    let frozen = content(&format!("{}/FROZEN", path))?;
    let sets = frozen.split_whitespace().filter_map(|word| word.strip_suffix(".json"));
    for set in sets {
        let file = tensors::read(&format!("{}/{}.safetensors", path, set))?;
        let cases = read_json(&format!("{}/{}.json", path, set))?.take("cases");
        report.set(set, |report| {
            for case in cases.into_iter().map(Rc::new) {
                let name = case.get("name").text();
                match cases::missing(&case) {
                    _ if !report.wants(name) => (),
                    Some(function) => report.leave_out(name, &format!("there is no {}", function)),
                    None => report.add(name, without_leaks(|| cases::run(&case, &file))),
                }
            }
        });
    }
    Ok(())
}

fn run_protocol(report: &mut Report, folder: &str) -> Outcome<()> {
    let cases = read_json(&format!("{}/protocol.json", folder))?;
    report.set("protocol", |report| {
        for case in cases.list() {
            let id = case.get("id").text();
            let name = format!("protocol/{}", id);
            match (cases::missing(case), protocol::find(id)) {
                _ if !report.wants(&name) => (),
                (Some(function), _) => report.leave_out(&name, &format!("there is no {}", function)),
                (None, Err(why)) => report.leave_out(&name, why),
                (None, Ok(run)) => report.add(&name, without_leaks(|| protocol::run(run))),
            }
        }
    });
    Ok(())
}

// The exit status.
fn run() -> Outcome<i32> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: runner FOLDER [--expect FILE] [NAME...]")?;
    let mut report = Report::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--child" => return Ok(protocol::child(&arguments.next().unwrap_or_default())),
            "--expect" => {
                let text = content(&arguments.next().ok_or("--expect names a file")?)?;
                report.expected = text.lines().map(str::to_string).collect(); // a comment is nobody's name
            }
            _ => report.prefixes.push(argument),
        }
    }
    run_vectors(&mut report, &format!("{}/vectors/{}", folder, mlx::array::version()?))?;
    run_protocol(&mut report, &folder)?;
    if report.left_out > 0 {
        println!("left out: {}", report.left_out);
    }
    println!("{} of {}", report.right, report.total);
    Ok((report.right != report.total) as i32)
}

fn main() {
    exit(run().unwrap_or_else(|error| {
        eprintln!("{}", error);
        2
    }))
}
