//! The C functions that this binding uses, as the headers declare them.

use std::os::raw::{c_char, c_int, c_void};

use super::handle::Handle;

macro_rules! handles {
    ($($name:ident freed by $free:ident)*) => {
        extern "C" {
            $(pub fn $free(handle: $name) -> c_int;)*
        }
        $(
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name {
                pub ctx: *mut c_void,
            }

            impl Handle for $name {
                const EMPTY: Self = $name { ctx: std::ptr::null_mut() };

                unsafe fn free(self) {
                    $free(self);
                }
            }
        )*
    };
}

handles! {
    mlx_array freed by mlx_array_free
    mlx_vector_array freed by mlx_vector_array_free
    mlx_string freed by mlx_string_free
    mlx_device freed by mlx_device_free
    mlx_stream freed by mlx_stream_free
    mlx_thread_local_stream freed by mlx_thread_local_stream_free
    mlx_closure freed by mlx_closure_free
    mlx_closure_custom freed by mlx_closure_custom_free
    mlx_closure_value_and_grad freed by mlx_closure_value_and_grad_free
}

#[repr(C)]
pub struct mlx_optional_int {
    pub value: c_int,
    pub has_value: bool,
}

pub const MLXFFI_REDUCTION_MEAN: c_int = 2;

/// What C calls for a closure: a place for outputs, inputs that stay C's, and the payload.
pub type Callback = extern "C" fn(*mut mlx_vector_array, mlx_vector_array, *mut c_void) -> c_int;
/// The same for a gradient of one's own: primals, cotangents, outputs.
pub type CustomCallback =
    extern "C" fn(*mut mlx_vector_array, mlx_vector_array, mlx_vector_array, mlx_vector_array, *mut c_void) -> c_int;
pub type Destructor = extern "C" fn(*mut c_void);
pub type ErrorHandler = extern "C" fn(*const c_char, *mut c_void);

extern "C" {
    pub fn mlx_set_error_handler(handler: ErrorHandler, data: *mut c_void, dtor: Option<Destructor>);
    pub fn mlxffi_ignore_errors(message: *const c_char, data: *mut c_void);
    pub fn mlxffi_last_error_text() -> *const c_char;

    pub fn mlx_version(res: *mut mlx_string) -> c_int;
    pub fn mlx_string_data(text: mlx_string) -> *const c_char;
    pub fn mlx_array_tostring(res: *mut mlx_string, array: mlx_array) -> c_int;

    pub fn mlx_array_set(res: *mut mlx_array, source: mlx_array) -> c_int;
    pub fn mlx_array_set_data(
        res: *mut mlx_array,
        data: *const c_void,
        shape: *const c_int,
        dimensions: c_int,
        dtype: c_int,
    ) -> c_int;
    pub fn mlx_array_eval(array: mlx_array) -> c_int;
    pub fn mlx_array_ndim(array: mlx_array) -> usize;
    pub fn mlx_array_shape(array: mlx_array) -> *const c_int;
    pub fn mlx_array_dtype(array: mlx_array) -> c_int;
    pub fn mlx_array_nbytes(array: mlx_array) -> usize;
    pub fn mlx_array_data_uint8(array: mlx_array) -> *const u8;
    pub fn mlx_array_item_float64(res: *mut f64, array: mlx_array) -> c_int;
    pub fn mlxffi_array_is_tracer(res: *mut bool, array: mlx_array) -> c_int;

    pub fn mlx_vector_array_set(res: *mut mlx_vector_array, source: mlx_vector_array) -> c_int;
    pub fn mlx_vector_array_set_data(res: *mut mlx_vector_array, data: *const mlx_array, size: usize) -> c_int;
    pub fn mlx_vector_array_size(vector: mlx_vector_array) -> usize;
    pub fn mlx_vector_array_get(res: *mut mlx_array, vector: mlx_vector_array, index: usize) -> c_int;

    pub fn mlx_get_default_device(res: *mut mlx_device) -> c_int;
    pub fn mlx_get_default_stream(res: *mut mlx_stream, device: mlx_device) -> c_int;

    pub fn mlx_closure_new_func_payload(call: Callback, payload: *mut c_void, dtor: Destructor) -> mlx_closure;
    pub fn mlx_closure_custom_new_func_payload(
        call: CustomCallback,
        payload: *mut c_void,
        dtor: Destructor,
    ) -> mlx_closure_custom;
    pub fn mlx_closure_apply(res: *mut mlx_vector_array, closure: mlx_closure, inputs: mlx_vector_array) -> c_int;
    pub fn mlx_closure_value_and_grad_apply(
        values: *mut mlx_vector_array,
        gradients: *mut mlx_vector_array,
        closure: mlx_closure_value_and_grad,
        inputs: mlx_vector_array,
    ) -> c_int;

    pub fn mlx_vjp(
        outputs: *mut mlx_vector_array,
        gradients: *mut mlx_vector_array,
        function: mlx_closure,
        primals: mlx_vector_array,
        cotangents: mlx_vector_array,
    ) -> c_int;
    pub fn mlx_jvp(
        outputs: *mut mlx_vector_array,
        results: *mut mlx_vector_array,
        function: mlx_closure,
        primals: mlx_vector_array,
        tangents: mlx_vector_array,
    ) -> c_int;
    pub fn mlx_value_and_grad(
        res: *mut mlx_closure_value_and_grad,
        function: mlx_closure,
        argnums: *const c_int,
        size: usize,
    ) -> c_int;
    pub fn mlx_checkpoint(res: *mut mlx_closure, function: mlx_closure) -> c_int;
    pub fn mlx_compile(res: *mut mlx_closure, function: mlx_closure, shapeless: bool) -> c_int;
    pub fn mlx_custom_vjp(res: *mut mlx_closure, function: mlx_closure, rule: mlx_closure_custom) -> c_int;
    pub fn mlx_vmap(
        res: *mut mlx_closure,
        function: mlx_closure,
        in_axes: *const c_int,
        in_size: usize,
        out_axes: *const c_int,
        out_size: usize,
    ) -> c_int;

    pub fn mlx_add(res: *mut mlx_array, a: mlx_array, b: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_subtract(res: *mut mlx_array, a: mlx_array, b: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_multiply(res: *mut mlx_array, a: mlx_array, b: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_matmul(res: *mut mlx_array, a: mlx_array, b: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_square(res: *mut mlx_array, a: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_transpose(res: *mut mlx_array, a: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_linalg_inv(res: *mut mlx_array, a: mlx_array, stream: mlx_stream) -> c_int;
    pub fn mlx_astype(res: *mut mlx_array, a: mlx_array, dtype: c_int, stream: mlx_stream) -> c_int;
    pub fn mlx_contiguous(res: *mut mlx_array, a: mlx_array, any_order: bool, stream: mlx_stream) -> c_int;
    pub fn mlx_sum(res: *mut mlx_array, a: mlx_array, keepdims: bool, stream: mlx_stream) -> c_int;
    pub fn mlx_mean(res: *mut mlx_array, a: mlx_array, keepdims: bool, stream: mlx_stream) -> c_int;
    pub fn mlx_reshape(
        res: *mut mlx_array,
        a: mlx_array,
        shape: *const c_int,
        size: usize,
        stream: mlx_stream,
    ) -> c_int;
    pub fn mlx_slice(
        res: *mut mlx_array,
        a: mlx_array,
        start: *const c_int,
        start_size: usize,
        stop: *const c_int,
        stop_size: usize,
        strides: *const c_int,
        strides_size: usize,
        stream: mlx_stream,
    ) -> c_int;
    pub fn mlxffi_cross_entropy(
        res: *mut mlx_array,
        logits: mlx_array,
        targets: mlx_array,
        weights: mlx_array,
        ignore_index: mlx_optional_int,
        label_smoothing: f64,
        reduction: c_int,
        stream: mlx_stream,
    ) -> c_int;
    pub fn mlx_load(res: *mut mlx_array, file: *const c_char, stream: mlx_stream) -> c_int;
}
