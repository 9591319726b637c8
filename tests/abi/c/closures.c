/* The six kinds of closure, bare and with a payload. */
#include "check.h"

typedef struct payload_ {
  int calls;
  int freed;
  float factor;
} payload;

static void free_payload(void *p) {
  ((payload *)p)->freed++;
}

/* res = factor * in[0], by filling the empty slot. */
static int scale(mlx_vector_array *res, const mlx_vector_array in, float factor) {
  mlx_array x = at(in, 0), f = mlx_array_new_float(factor);
  CHECK(res->ctx == NULL);
  OK(mlx_multiply(&x, x, f, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x, f);
  return 0;
}

static mlx_vector_array one(const char *text) {
  return take(1, floats(text));
}

/* A payload is freed once, when the last handle of its closure goes. */
#define CHECK_PAYLOAD(kind, p, expected_calls) \
  do {                                         \
    kind copy = kind##_new();                  \
    CHECK(copy.ctx == NULL);                   \
    OK(kind##_set(&copy, cls));                \
    OK(kind##_set(&copy, copy));               \
    OK(kind##_free(cls));                      \
    CHECK_INT(0, (p).freed);                   \
    CHECK_INT(expected_calls, (p).calls);      \
    OK(kind##_free(copy));                     \
    CHECK_INT(1, (p).freed);                   \
  } while (0)

/* No function, no closure; the payload is not leaked either. */
#define CHECK_NULL_FUNCTION(kind)                                            \
  do {                                                                       \
    payload p = {0, 0, 0};                                                   \
    kind none = kind##_new(), cls = kind##_new();                            \
    REJECTS(kind##_new_func(NULL).ctx == NULL);                              \
    REJECTS(kind##_new_func_payload(NULL, &p, free_payload).ctx == NULL);    \
    CHECK_INT(1, p.freed);                                                   \
    FAILS(kind##_set(&cls, none));                                           \
    CHECK(cls.ctx == NULL);                                                  \
    OK(kind##_free(none));                                                   \
  } while (0)

/* ---- mlx_closure ----------------------------------------------------- */

static int negate_all(mlx_vector_array *res, const mlx_vector_array in) {
  *res = mlx_vector_array_new();
  for (size_t i = 0; i < mlx_vector_array_size(in); i++) {
    mlx_array x = at(in, i);
    OK(mlx_negative(&x, x, cpu));
    OK(mlx_vector_array_append_value(*res, x));
    drop(x);
  }
  return 0;
}

static int scale_by_payload(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  payload *p = (payload *)data;
  p->calls++;
  return scale(res, in, p->factor);
}

static int square_one(mlx_array *res, const mlx_array in) {
  CHECK(res->ctx == NULL);
  return mlx_square(res, in, cpu);
}

static void test_closure(void) {
  mlx_closure cls = mlx_closure_new_func(negate_all);
  mlx_vector_array in = take(2, floats("1 2"), floats("3")), out = {NULL}, none = {NULL};
  for (int i = 0; i < 50; i++) {
    OK(mlx_closure_apply(&out, cls, in));
  }
  CHECK_INT(2, mlx_vector_array_size(out));
  IS_AT(out, 0, "-1 -2");
  IS_AT(out, 1, "-3");
  FAILS(mlx_closure_apply(&out, cls, none));
  FAILS(mlx_closure_apply(&out, mlx_closure_new(), in));
  FAILS(mlx_closure_apply(NULL, cls, in));
  OK(mlx_closure_free(cls));
  drop_vector(in, out);
  CHECK_NULL_FUNCTION(mlx_closure);
}

static void test_closure_payload(void) {
  payload p = {0, 0, 3};
  mlx_closure cls = mlx_closure_new_func_payload(scale_by_payload, &p, free_payload);
  mlx_vector_array in = one("1 2"), out = mlx_vector_array_new();
  OK(mlx_closure_apply(&out, cls, in));
  IS_AT(out, 0, "3 6");
  p.factor = -1;
  OK(mlx_closure_apply(&out, cls, in));
  IS_AT(out, 0, "-1 -2");
  CHECK_PAYLOAD(mlx_closure, p, 2);
  drop_vector(in, out);
}

static void test_payload_without_dtor(void) {
  payload p = {0, 0, 5};
  mlx_closure cls = mlx_closure_new_func_payload(scale_by_payload, &p, NULL);
  mlx_vector_array in = one("2"), out = mlx_vector_array_new();
  OK(mlx_closure_apply(&out, cls, in));
  IS_AT(out, 0, "10");
  OK(mlx_closure_free(cls));
  CHECK_INT(0, p.freed);
  drop_vector(in, out);
}

static void test_unary(void) {
  mlx_closure cls = mlx_closure_new_unary(square_one);
  mlx_vector_array in = one("3 4"), two = take(2, floats("1"), floats("2")), out = mlx_vector_array_new();
  OK(mlx_closure_apply(&out, cls, in));
  CHECK_INT(1, mlx_vector_array_size(out));
  IS_AT(out, 0, "9 16");
  FAILS(mlx_closure_apply(&out, cls, two));
  REJECTS(mlx_closure_new_unary(NULL).ctx == NULL);
  OK(mlx_closure_free(cls));
  drop_vector(in, two, out);
}

/* Leaves a handle that it has freed. */
static int leave_freed(mlx_vector_array *res, const mlx_vector_array in) {
  *res = one("1");
  (void)in;
  return mlx_vector_array_free(*res);
}

static int leave_none(mlx_vector_array *res, const mlx_vector_array in) {
  res->ctx = (void *)8;
  (void)in;
  return 0;
}

static void test_what_is_no_result(void) {
  mlx_closure gone = mlx_closure_new_func(leave_freed), none = mlx_closure_new_func(leave_none);
  mlx_vector_array in = one("2"), out = {NULL};
  FAILS(mlx_closure_apply(&out, gone, in));
  FAILS(mlx_closure_apply(&out, none, in));
  CHECK(out.ctx == NULL);
  FREE(mlx_closure, gone, none);
  drop_vector(in);
}

/* A closure may make and call other closures. */
static int twice_scaled(mlx_vector_array *res, const mlx_vector_array in) {
  payload p = {0, 0, 2};
  mlx_closure inner = mlx_closure_new_func_payload(scale_by_payload, &p, free_payload);
  mlx_vector_array middle = mlx_vector_array_new();
  OK(mlx_closure_apply(&middle, inner, in));
  OK(mlx_closure_apply(res, inner, middle));
  OK(mlx_closure_free(inner));
  drop_vector(middle);
  CHECK_INT(1, p.freed);
  return 0;
}

static void test_nested(void) {
  mlx_closure cls = mlx_closure_new_func(twice_scaled);
  mlx_vector_array in = one("1 5"), out = mlx_vector_array_new();
  OK(mlx_closure_apply(&out, cls, in));
  IS_AT(out, 0, "4 20");
  OK(mlx_closure_free(cls));
  drop_vector(in, out);
}

/* ---- mlx_closure_kwargs ---------------------------------------------- */

static int add_named(mlx_vector_array *res, const mlx_vector_array in, const mlx_map_string_to_array kwargs) {
  mlx_array x = at(in, 0), y = mlx_array_new();
  int status = mlx_map_string_to_array_get(&y, kwargs, "y");
  CHECK(status == 0 || status == 2);
  OK(status == 0 ? mlx_add(&x, x, y, cpu) : 0);
  OK(mlx_vector_array_set_value(res, x));
  drop(x, y);
  return 0;
}

static int add_named_payload(mlx_vector_array *res, const mlx_vector_array in, const mlx_map_string_to_array kwargs,
                             void *data) {
  ((payload *)data)->calls++;
  return add_named(res, in, kwargs);
}

static mlx_map_string_to_array named_y(float value) {
  mlx_map_string_to_array map = mlx_map_string_to_array_new();
  mlx_array y = mlx_array_new_float(value);
  OK(mlx_map_string_to_array_insert(map, "y", y));
  drop(y);
  return map;
}

static void test_kwargs(void) {
  payload p = {0, 0, 0};
  mlx_closure_kwargs bare = mlx_closure_kwargs_new_func(add_named);
  mlx_closure_kwargs cls = mlx_closure_kwargs_new_func_payload(add_named_payload, &p, free_payload);
  mlx_vector_array in = one("1 2"), out = mlx_vector_array_new();
  mlx_map_string_to_array kwargs = named_y(10), empty = mlx_map_string_to_array_new();
  OK(mlx_closure_kwargs_apply(&out, bare, in, kwargs));
  IS_AT(out, 0, "11 12");
  OK(mlx_closure_kwargs_apply(&out, cls, in, empty));
  IS_AT(out, 0, "1 2");
  CHECK_PAYLOAD(mlx_closure_kwargs, p, 1);
  CHECK_NULL_FUNCTION(mlx_closure_kwargs);
  OK(mlx_closure_kwargs_free(bare));
  FREE(mlx_map_string_to_array, kwargs, empty);
  drop_vector(in, out);
}

/* ---- mlx_closure_value_and_grad -------------------------------------- */

static int value_and_grad(mlx_vector_array *values, mlx_vector_array *grads, const mlx_vector_array in) {
  return scale(values, in, 2) || scale(grads, in, 20);
}

static int value_and_grad_payload(mlx_vector_array *values, mlx_vector_array *grads, const mlx_vector_array in,
                                  void *data) {
  ((payload *)data)->calls++;
  return value_and_grad(values, grads, in);
}

static void test_value_and_grad(void) {
  payload p = {0, 0, 0};
  mlx_closure_value_and_grad bare = mlx_closure_value_and_grad_new_func(value_and_grad);
  mlx_closure_value_and_grad cls =
      mlx_closure_value_and_grad_new_func_payload(value_and_grad_payload, &p, free_payload);
  mlx_vector_array in = one("1 2"), values = {NULL}, grads = mlx_vector_array_new();
  OK(mlx_closure_value_and_grad_apply(&values, &grads, bare, in));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, cls, in));
  IS_AT(values, 0, "2 4");
  IS_AT(grads, 0, "20 40");
  FAILS(mlx_closure_value_and_grad_apply(&values, NULL, cls, in));
  p.calls = 1;
  CHECK_PAYLOAD(mlx_closure_value_and_grad, p, 1);
  CHECK_NULL_FUNCTION(mlx_closure_value_and_grad);
  OK(mlx_closure_value_and_grad_free(bare));
  drop_vector(in, values, grads);
}

/* ---- mlx_closure_custom (a vjp rule) --------------------------------- */

static int combine(mlx_vector_array *res, const mlx_vector_array a, const mlx_vector_array b,
                   const mlx_vector_array c) {
  mlx_array x = at(a, 0), y = at(b, 0), z = at(c, 0);
  OK(mlx_multiply(&x, x, y, cpu));
  OK(mlx_add(&x, x, z, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x, y, z);
  return 0;
}

static int combine_payload(mlx_vector_array *res, const mlx_vector_array a, const mlx_vector_array b,
                           const mlx_vector_array c, void *data) {
  ((payload *)data)->calls++;
  return combine(res, a, b, c);
}

static void test_custom(void) {
  payload p = {0, 0, 0};
  mlx_closure_custom bare = mlx_closure_custom_new_func(combine);
  mlx_closure_custom cls = mlx_closure_custom_new_func_payload(combine_payload, &p, free_payload);
  mlx_vector_array a = one("1 2"), b = one("3 4"), c = one("5 6"), out = mlx_vector_array_new();
  OK(mlx_closure_custom_apply(&out, bare, a, b, c));
  OK(mlx_closure_custom_apply(&out, cls, a, b, c));
  IS_AT(out, 0, "8 14");
  CHECK_PAYLOAD(mlx_closure_custom, p, 1);
  CHECK_NULL_FUNCTION(mlx_closure_custom);
  OK(mlx_closure_custom_free(bare));
  drop_vector(a, b, c, out);
}

/* ---- mlx_closure_custom_jvp ------------------------------------------ */

static int push(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents,
                const int *argnums, size_t argnums_num) {
  CHECK_INT(2, argnums_num);
  CHECK_INT(0, argnums[0]);
  CHECK_INT(3, argnums[1]);
  return combine(res, primals, tangents, tangents);
}

static int push_payload(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents,
                        const int *argnums, size_t argnums_num, void *data) {
  ((payload *)data)->calls++;
  return push(res, primals, tangents, argnums, argnums_num);
}

static void test_custom_jvp(void) {
  const int argnums[2] = {0, 3};
  payload p = {0, 0, 0};
  mlx_closure_custom_jvp bare = mlx_closure_custom_jvp_new_func(push);
  mlx_closure_custom_jvp cls = mlx_closure_custom_jvp_new_func_payload(push_payload, &p, free_payload);
  mlx_vector_array a = one("1 2"), b = one("3 4"), out = mlx_vector_array_new();
  OK(mlx_closure_custom_jvp_apply(&out, bare, a, b, argnums, 2));
  OK(mlx_closure_custom_jvp_apply(&out, cls, a, b, argnums, 2));
  IS_AT(out, 0, "6 12");
  FAILS(mlx_closure_custom_jvp_apply(&out, cls, a, b, NULL, 2));
  CHECK_PAYLOAD(mlx_closure_custom_jvp, p, 1);
  CHECK_NULL_FUNCTION(mlx_closure_custom_jvp);
  OK(mlx_closure_custom_jvp_free(bare));
  drop_vector(a, b, out);
}

/* ---- mlx_closure_custom_vmap ----------------------------------------- */

static int batch(mlx_vector_array *res, mlx_vector_int *axes_out, const mlx_vector_array in, const int *axes,
                 size_t axes_num) {
  CHECK(axes_out->ctx == NULL);
  CHECK_INT(1, axes_num);
  OK(mlx_vector_int_set_value(axes_out, axes[0] + 1));
  return scale(res, in, 7);
}

static int batch_payload(mlx_vector_array *res, mlx_vector_int *axes_out, const mlx_vector_array in, const int *axes,
                         size_t axes_num, void *data) {
  ((payload *)data)->calls++;
  return batch(res, axes_out, in, axes, axes_num);
}

static void test_custom_vmap(void) {
  const int axes[1] = {4};
  int axis = 0;
  payload p = {0, 0, 0};
  mlx_closure_custom_vmap bare = mlx_closure_custom_vmap_new_func(batch);
  mlx_closure_custom_vmap cls = mlx_closure_custom_vmap_new_func_payload(batch_payload, &p, free_payload);
  mlx_vector_array in = one("1 2"), out = mlx_vector_array_new();
  mlx_vector_int out_axes = mlx_vector_int_new();
  OK(mlx_closure_custom_vmap_apply(&out, &out_axes, bare, in, axes, 1));
  OK(mlx_closure_custom_vmap_apply(&out, &out_axes, cls, in, axes, 1));
  IS_AT(out, 0, "7 14");
  OK(mlx_vector_int_get(&axis, out_axes, 0));
  CHECK_INT(5, axis);
  CHECK_PAYLOAD(mlx_closure_custom_vmap, p, 1);
  CHECK_NULL_FUNCTION(mlx_closure_custom_vmap);
  OK(mlx_closure_custom_vmap_free(bare));
  OK(mlx_vector_int_free(out_axes));
  drop_vector(in, out);
}

int main(void) {
  begin();
  GROUP("closures", test_closure, test_closure_payload, test_payload_without_dtor, test_unary, test_nested,
        test_what_is_no_result);
  GROUP("closures with named arrays", test_kwargs);
  GROUP("value and gradient closures", test_value_and_grad);
  GROUP("custom vjp closures", test_custom);
  GROUP("custom jvp closures", test_custom_jvp);
  GROUP("custom vmap closures", test_custom_vmap);
  return end();
}
