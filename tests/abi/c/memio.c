/* io.h and io_types.h through readers and writers over a memory buffer. */
#include "check.h"

#include <time.h>

enum { CAPACITY = 4096 };

typedef struct buffer_ {
  char bytes[CAPACITY];
  size_t size;  /* what has been written */
  size_t pos;   /* for tell and seek */
  size_t limit; /* no operation gets past this */
  bool open;
  bool good;
  volatile int freed; /* counted on whichever thread lets go last */
} buffer;

static bool buffer_is_open(void *p) {
  return ((buffer *)p)->open;
}

static bool buffer_good(void *p) {
  return ((buffer *)p)->good;
}

static size_t buffer_tell(void *p) {
  return ((buffer *)p)->pos;
}

static void buffer_seek(void *p, int64_t off, int whence) {
  buffer *b = (buffer *)p;
  int64_t from = whence == SEEK_SET ? 0 : (int64_t)(whence == SEEK_END ? b->size : b->pos);
  b->pos = (size_t)(from + off);
}

static void buffer_read_at(void *p, char *data, size_t n, size_t off) {
  buffer *b = (buffer *)p;
  if (off + n > b->size || off + n > b->limit) {
    b->good = false;
    memset(data, 0, n);
    return;
  }
  memcpy(data, b->bytes + off, n);
}

static void buffer_read(void *p, char *data, size_t n) {
  buffer *b = (buffer *)p;
  buffer_read_at(p, data, n, b->pos);
  b->pos += n;
}

static void buffer_write(void *p, const char *data, size_t n) {
  buffer *b = (buffer *)p;
  if (b->pos + n > b->limit) {
    b->good = false;
    return;
  }
  memcpy(b->bytes + b->pos, data, n);
  b->pos += n;
  b->size = b->pos > b->size ? b->pos : b->size;
}

static const char *buffer_label(void *p) {
  (void)p;
  return "<buffer %s>";
}

static void buffer_free(void *p) {
  ((buffer *)p)->freed++;
}

static mlx_io_vtable vtable(void) {
  mlx_io_vtable v = {buffer_is_open, buffer_good,  buffer_tell,  buffer_seek, buffer_read,
                     buffer_read_at, buffer_write, buffer_label, buffer_free};
  return v;
}

static void clear(buffer *b) {
  memset(b, 0, sizeof *b);
  b->open = b->good = true;
  b->limit = CAPACITY;
}

static void rewind_buffer(buffer *b) {
  b->pos = 0;
  b->freed = 0;
  b->good = true;
}

static void save_to(buffer *b, mlx_array a) {
  mlx_io_writer writer = mlx_io_writer_new(b, vtable());
  CHECK(writer.ctx != NULL);
  OK(mlx_save_writer(writer, a));
  OK(mlx_io_writer_free(writer));
  CHECK_INT(1, b->freed);
  drop(a);
}

/* What read a lazy array lets go of its reader on a thread of its own, shortly after the array is there. */
static void check_freed(buffer *b, int wanted) {
  time_t patience = time(NULL) + 20;
  while (b->freed < wanted && time(NULL) < patience) {
  }
  CHECK_INT(wanted, b->freed);
}

/* The reader is freed at once: the lazy array has to keep it until eval. */
static void test_npy(void) {
  static buffer b;
  mlx_array res = mlx_array_new();
  clear(&b);
  save_to(&b, floats("1 2; 3 4"));
  CHECK(b.size > 16 && memcmp(b.bytes, "\x93NUMPY", 6) == 0);
  rewind_buffer(&b);
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  OK(mlx_load_reader(&res, reader, cpu));
  OK(mlx_io_reader_free(reader));
  CHECK_INT(0, b.freed);
  IS(res, "1 2; 3 4");
  OK(mlx_synchronize(cpu));
  check_freed(&b, 1);
  drop(res);
  check_freed(&b, 1);
}

static void test_unread_array(void) {
  static buffer b;
  mlx_array res = mlx_array_new();
  clear(&b);
  save_to(&b, floats("1 2 3"));
  rewind_buffer(&b);
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  OK(mlx_load_reader(&res, reader, cpu));
  drop(res);
  CHECK_INT(0, b.freed);
  OK(mlx_io_reader_free(reader));
  check_freed(&b, 1);
}

static void save_map(buffer *b) {
  mlx_map_string_to_array arrays = mlx_map_string_to_array_new();
  mlx_map_string_to_string meta = mlx_map_string_to_string_new();
  mlx_array a = floats("1 2 3"), h = typed("5 6", MLX_FLOAT16), d = typed("0.1 0.2", MLX_FLOAT64);
  OK(mlx_map_string_to_array_insert(arrays, "a", a));
  OK(mlx_map_string_to_array_insert(arrays, "h", h));
  OK(mlx_map_string_to_array_insert(arrays, "d", d));
  OK(mlx_map_string_to_string_insert(meta, "made", "here"));
  mlx_io_writer writer = mlx_io_writer_new(b, vtable());
  OK(mlx_save_safetensors_writer(writer, arrays, meta));
  OK(mlx_io_writer_free(writer));
  OK(mlx_map_string_to_array_free(arrays));
  OK(mlx_map_string_to_string_free(meta));
  drop(a, h, d);
}

static void test_safetensors(void) {
  static buffer b;
  mlx_map_string_to_array arrays = mlx_map_string_to_array_new();
  mlx_map_string_to_string meta = mlx_map_string_to_string_new();
  mlx_array a = mlx_array_new();
  const char *text = NULL;
  clear(&b);
  save_map(&b);
  rewind_buffer(&b);
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  OK(mlx_load_safetensors_reader(&arrays, &meta, reader, cpu));
  OK(mlx_io_reader_free(reader));
  OK(mlx_map_string_to_array_get(&a, arrays, "a"));
  IS(a, "1 2 3");
  OK(mlx_map_string_to_array_get(&a, arrays, "h"));
  IS(a, "5 6");
  OK(mlx_map_string_to_array_get(&a, arrays, "d"));
  CHECK_INT(MLX_FLOAT64, mlx_array_dtype(a));
  IS(a, "0.1 0.2");
  OK(mlx_map_string_to_string_get(&text, meta, "made"));
  CHECK_STR("here", text);
  drop(a);
  OK(mlx_map_string_to_array_free(arrays));
  OK(mlx_map_string_to_string_free(meta));
  OK(mlx_synchronize(cpu));
  check_freed(&b, 1);
}

static void test_descriptor_and_label(void) {
  static buffer b;
  void *desc = NULL;
  mlx_string text = mlx_string_new();
  clear(&b);
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  mlx_io_writer writer = mlx_io_writer_new(&b, vtable());
  OK(mlx_io_reader_descriptor(&desc, reader));
  CHECK(desc == &b);
  desc = NULL;
  OK(mlx_io_writer_descriptor(&desc, writer));
  CHECK(desc == &b);
  OK(mlx_io_reader_tostring(&text, reader));
  CHECK_HAS("<buffer %s>", mlx_string_data(text));
  OK(mlx_io_writer_tostring(&text, writer));
  CHECK_HAS("<buffer %s>", mlx_string_data(text));
  OK(mlx_io_reader_free(reader));
  check_freed(&b, 1);
  OK(mlx_io_writer_free(writer));
  check_freed(&b, 2);
  OK(mlx_string_free(text));
}

/* The header is there, the data is cut off: the error comes at eval. */
static void test_short_read(void) {
  static buffer b;
  mlx_array res = mlx_array_new();
  clear(&b);
  save_to(&b, floats("1 2 3 4"));
  rewind_buffer(&b);
  b.size -= 4;
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  OK(mlx_load_reader(&res, reader, cpu));
  OK(mlx_io_reader_free(reader));
  FAILS(mlx_array_eval(res));
  drop(res);
  OK(mlx_synchronize(cpu));
  check_freed(&b, 1);
}

static void test_bad_header(void) {
  static buffer b;
  mlx_array res = mlx_array_new();
  clear(&b);
  memcpy(b.bytes, "no array at all, whatever one reads", 35);
  b.size = 35;
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  FAILS(mlx_load_reader(&res, reader, cpu));
  CHECK(res.ctx == NULL);
  OK(mlx_io_reader_free(reader));
  check_freed(&b, 1);
}

static void test_closed(void) {
  static buffer b;
  mlx_array res = mlx_array_new(), a = floats("1");
  clear(&b);
  b.open = b.good = false;
  mlx_io_reader reader = mlx_io_reader_new(&b, vtable());
  mlx_io_writer writer = mlx_io_writer_new(&b, vtable());
  FAILS(mlx_load_reader(&res, reader, cpu));
  CHECK_HAS("<buffer %s>", last_error);
  FAILS(mlx_save_writer(writer, a));
  CHECK(res.ctx == NULL);
  OK(mlx_io_reader_free(reader));
  OK(mlx_io_writer_free(writer));
  drop(a);
}

static void test_full_writer(void) {
  static buffer b;
  mlx_array a = floats("1 2 3 4");
  clear(&b);
  b.limit = 20;
  mlx_io_writer writer = mlx_io_writer_new(&b, vtable());
  FAILS(mlx_save_writer(writer, a));
  OK(mlx_io_writer_free(writer));
  check_freed(&b, 1);
  drop(a);
}

static void test_missing_functions(void) {
  static buffer b;
  mlx_io_vtable no_read = vtable(), no_write = vtable(), no_free = vtable();
  mlx_array a = floats("1 2");
  clear(&b);
  no_read.read = NULL;
  no_write.write = NULL;
  no_free.free = NULL;
  REJECTS(mlx_io_reader_new(&b, no_read).ctx == NULL);
  REJECTS(mlx_io_writer_new(&b, no_write).ctx == NULL);
  CHECK_INT(0, b.freed);
  mlx_io_writer writer = mlx_io_writer_new(&b, no_free);
  OK(mlx_save_writer(writer, a));
  OK(mlx_io_writer_free(writer));
  CHECK_INT(0, b.freed);
  drop(a);
}

static void test_null_handles(void) {
  mlx_io_reader reader = {NULL};
  mlx_io_writer writer = {NULL};
  mlx_array res = mlx_array_new(), a = floats("1");
  mlx_string text = mlx_string_new();
  void *desc = NULL;
  FAILS(mlx_load_reader(&res, reader, cpu));
  FAILS(mlx_save_writer(writer, a));
  FAILS(mlx_io_reader_descriptor(&desc, reader));
  FAILS(mlx_io_writer_tostring(&text, writer));
  OK(mlx_io_reader_free(reader));
  OK(mlx_io_writer_free(writer));
  CHECK(res.ctx == NULL);
  OK(mlx_string_free(text));
  drop(a);
}

int main(void) {
  begin();
  GROUP("npy in memory", test_npy, test_unread_array);
  GROUP("safetensors in memory", test_safetensors);
  GROUP("descriptors and labels", test_descriptor_and_label);
  GROUP("failing streams", test_short_read, test_bad_header, test_closed, test_full_writer);
  GROUP("bad arguments", test_missing_functions, test_null_handles);
  return end();
}
