//! Calls of the library's functions by name: what the suite's steps are.
#![allow(non_snake_case)] // The letters of a class are the suite's.

use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_void};

use mlx::array::{c_text, default_stream};
use mlx::closure::{pack, unpack};
use mlx::error::check;
use mlx::ffi::{mlx_array, mlx_stream, mlx_vector_array};
use mlx::handle::{Handle, Owned};
use mlx::{Array, Dtype};

use crate::json::Json;

extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The address of a function of the libraries that this program is linked with.
pub fn address(name: &str) -> Option<*mut c_void> {
    // RTLD_DEFAULT
    let everywhere = if cfg!(target_os = "macos") { -2isize as *mut c_void } else { std::ptr::null_mut() };
    let name = CString::new(name).ok()?;
    let found = unsafe { dlsym(everywhere, name.as_ptr()) };
    (!found.is_null()).then(|| found)
}

#[repr(C)]
struct Optional<T> {
    value: T,
    has_value: bool,
}

// What a call's parameters get, one after the other: a method for each letter of a class. What they point at stays
// here.
struct Arguments<'a> {
    values: &'a [Array],
    given: std::slice::Iter<'a, Json>,
    results: Vec<Box<Owned<mlx_array>>>,
    vector: Owned<mlx_vector_array>,
    texts: Vec<CString>,
    ints: Vec<Vec<c_int>>,
    longs: Vec<Vec<i64>>,
    vectors: Vec<Owned<mlx_vector_array>>,
}

impl<'a> Arguments<'a> {
    fn new(values: &'a [Array], given: &'a [Json]) -> Self {
        Arguments {
            values,
            given: given.iter(),
            results: Vec::new(),
            vector: Owned::empty(),
            texts: Vec::new(),
            ints: Vec::new(),
            longs: Vec::new(),
            vectors: Vec::new(),
        }
    }

    fn next(&mut self) -> &'a Json {
        self.given.next().unwrap_or(&Json::Null)
    }

    fn A(&mut self) -> *mut mlx_array {
        self.results.push(Box::new(Owned::empty()));
        self.results.last_mut().expect("the place that was added").place()
    }

    fn V(&mut self) -> *mut mlx_vector_array {
        self.vector.place()
    }

    fn s(&mut self) -> mlx_stream {
        default_stream().unwrap_or(mlx_stream::EMPTY)
    }

    fn a(&mut self) -> mlx_array {
        match self.next() {
            Json::Number(place) => self.values[*place as usize].raw(),
            _ => mlx_array::EMPTY,
        }
    }

    fn v(&mut self) -> mlx_vector_array {
        let places = self.next().integers();
        let arrays: Vec<Array> = places.into_iter().map(|place| self.values[place as usize].clone()).collect();
        self.vectors.push(pack(&arrays).unwrap_or_else(|_| Owned::empty()));
        self.vectors.last().map_or(mlx_vector_array::EMPTY, Owned::raw)
    }

    fn n(&mut self) -> *const c_int {
        let list = self.next();
        self.ints.push(list.integers().into_iter().map(|n| n as c_int).collect());
        if list.is_null() {
            std::ptr::null()
        } else {
            self.ints.last().map_or(std::ptr::null(), |ints| ints.as_ptr())
        }
    }

    fn N(&mut self) -> usize {
        self.ints.last().map_or(0, Vec::len)
    }

    fn q(&mut self) -> *const i64 {
        let list = self.next().integers();
        self.longs.push(list);
        self.longs.last().map_or(std::ptr::null(), |longs| longs.as_ptr())
    }

    fn Q(&mut self) -> usize {
        self.longs.last().map_or(0, Vec::len)
    }

    fn t(&mut self) -> *const c_char {
        let text = self.next().text();
        self.texts.push(c_text(text));
        self.texts.last().map_or(std::ptr::null(), |text| text.as_ptr())
    }

    fn i(&mut self) -> c_int {
        self.next().number() as c_int
    }

    fn e(&mut self) -> c_int {
        self.i()
    }

    fn u(&mut self) -> usize {
        self.next().number() as usize
    }

    fn U(&mut self) -> u64 {
        self.next().number() as u64
    }

    fn b(&mut self) -> bool {
        self.next().number() != 0.0
    }

    fn f(&mut self) -> f32 {
        self.next().number() as f32
    }

    fn d(&mut self) -> f64 {
        self.next().number()
    }

    fn D(&mut self) -> c_int {
        dtype(self.next())
    }

    fn I(&mut self) -> Optional<c_int> {
        optional(self.next(), |given| given.number() as c_int)
    }

    fn F(&mut self) -> Optional<f32> {
        optional(self.next(), |given| given.number() as f32)
    }

    fn B(&mut self) -> Optional<bool> {
        optional(self.next(), |given| *given == Json::Bool(true))
    }

    fn T(&mut self) -> Optional<c_int> {
        optional(self.next(), dtype)
    }
}

fn optional<T: Default>(given: &Json, read: impl Fn(&Json) -> T) -> Optional<T> {
    let has_value = !given.is_null();
    Optional { value: if has_value { read(given) } else { T::default() }, has_value }
}

fn dtype(name: &Json) -> c_int {
    let found = Dtype::ALL.iter().find(|dtype| format!("{:?}", dtype).to_lowercase() == name.text());
    *found.expect("the name of a dtype") as c_int
}

/// The type of a parameter, by its letter; a list of integers is two parameters (`n` and `N`, `q` and `Q`).
#[rustfmt::skip]
macro_rules! parameter {
    (A) => { *mut mlx_array }; (V) => { *mut mlx_vector_array }; (a) => { mlx_array }; (v) => { mlx_vector_array };
    (n) => { *const c_int }; (N) => { usize }; (q) => { *const i64 }; (Q) => { usize }; (t) => { *const c_char };
    (i) => { c_int }; (e) => { c_int }; (u) => { usize }; (U) => { u64 }; (b) => { bool }; (f) => { f32 };
    (d) => { f64 }; (D) => { c_int }; (I) => { Optional<c_int> }; (F) => { Optional<f32> }; (B) => { Optional<bool> };
    (T) => { Optional<c_int> }; (s) => { mlx_stream };
}

macro_rules! classes {
    ($([$($letter:ident)*])*) => {
        // The status, or nothing where the class is not among those below.
        fn call_class(function: *mut c_void, class: &str, x: &mut Arguments) -> Option<c_int> {
            $(if class == concat!($(stringify!($letter)),*) {
                // SAFETY: the suite says that the function has the parameters of its class.
                type Function = extern "C" fn($(parameter!($letter)),*) -> c_int;
                let function: Function = unsafe { std::mem::transmute(function) };
                return Some(function($(x.$letter()),*));
            })*
            None
        }
    };
}

/// What a step gives.
pub fn call(step: &Json, values: &[Array]) -> mlx::Result<Vec<Array>> {
    let (name, class) = (step.get("call").text(), step.get("class").text());
    let function = address(name).ok_or_else(|| mlx::Error::Mlx(format!("there is no {}", name)))?;
    let mut x = Arguments::new(values, step.get("args").list());
    let status = call_class(function, &class.replace('n', "nN").replace('q', "qQ"), &mut x);
    check(status.ok_or_else(|| mlx::Error::Mlx(format!("this runner has no class {}", class)))?)?;
    let vector = if class.contains('V') { unpack(x.vector.raw())? } else { Vec::new() };
    Ok(x.results.into_iter().map(|result| Array::from_owned(*result)).chain(vector).collect())
}

#[rustfmt::skip]
classes! {
    [A A a b s] [A A a i b s] [A A a n N b s] [A A a s] [A A a t s] [A U] [A a D s] [A a F s] [A a I I I a b e B I s]
    [A a a D s] [A a a a I I t a T s] [A a a a I I t a a s] [A a a a I d e s] [A a a a a a I I t a a b s]
    [A a a a a a a b I I t a b s] [A a a a a a a b I I t b s] [A a a a a a a f I I t s] [A a a a a b I I t s] [A a a a a b s] [A a a a a f s]
    [A a a a f b a s] [A a a a f f s] [A a a a f s] [A a a a f t a a b s] [A a a a f t a a s] [A a a a i s]
    [A a a a n N s] [A a a a s] [A a a b s] [A a a d b e s] [A a a d d b s] [A a a f s] [A a a i a a a s]
    [A a a i i i i i i i i i i i i i s] [A a a i i i i i i i i i i s] [A a a i i i i i i i i i s]
    [A a a i i i i i i i s] [A a a i i i i i s] [A a a i i i i s] [A a a i n N s] [A a a i s] [A a a n N D a s]
    [A a a n N n N n N n N n N i b s] [A a a n N n N n N s] [A a a n N n N s] [A a a s] [A a a t s] [A a b i s]
    [A a b s] [A a d n N b s] [A a f F F s] [A a i I I a b t e B s] [A a i a s] [A a i a t s] [A a i b F f a a s]
    [A a i b F f i a s] [A a i b b T s] [A a i b b s] [A a i b i s] [A a i b s] [A a i i a s] [A a i i e s]
    [A a i i i D s] [A a i i i s] [A a i i s] [A a i n N a s] [A a i n N s] [A a i s] [A a n N a s] [A a n N b D s]
    [A a n N b i s] [A a n N b s] [A a n N i s] [A a n N n N e s] [A a n N n N n N a t s] [A a n N n N n N s]
    [A a n N n N s] [A a n N q Q u s] [A a n N s] [A a s] [A a t n N b s] [A a t s] [A a v a n N s] [A a v n N n N s]
    [A d d d D s] [A d d i D s] [A d d i b D s] [A i D s] [A i a s] [A i d s] [A i i i D s] [A i s] [A n N D a a a s]
    [A n N D a s] [A n N D f f a s] [A n N D s] [A n N a D s] [A n N i a s] [A t v s] [A v i s] [A v s]
    [V a I I t a s] [V a a a a a a a s] [V a a a a a i i f s] [V a a s] [V a b s] [V a i b b b a s] [V a i i s]
    [V a i s] [V a n N i s] [V a s] [V v b t s] [V v i s] [V v s] [V v v] [V v v v v a s]
}
