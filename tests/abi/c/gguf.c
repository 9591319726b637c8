/* GGUF files that a program wrote, whole, cut and mangled at each of their bytes. */
#include "tempdir.h"

enum { CAPACITY = 1024, BLOCK = 144 };

typedef struct file_ {
  unsigned char bytes[CAPACITY];
  size_t size;
} file;

static void put(file *f, const void *from, size_t size) {
  CHECK(f->size + size <= CAPACITY);
  memcpy(f->bytes + f->size, from, size);
  f->size += size;
}

static void put_int(file *f, unsigned long long value, size_t size) {
  unsigned char bytes[8];
  for (size_t i = 0; i < size; i++) {
    bytes[i] = (unsigned char)(value >> (8 * i));
  }
  put(f, bytes, size);
}

static void put_text(file *f, const char *text) {
  put_int(f, strlen(text), 8);
  put(f, text, strlen(text));
}

static void put_tensor(file *f, const char *name, unsigned type, unsigned long long length, unsigned long long offset) {
  put_text(f, name);
  put_int(f, 1, 4);
  put_int(f, length, 8);
  put_int(f, type, 4);
  put_int(f, offset, 8);
}

static void pad(file *f) {
  while (f->size % 32) {
    put_int(f, 0, 1);
  }
}

static void put_metadata(file *f) {
  put_text(f, "words");
  put_int(f, 9, 4);
  put_int(f, 8, 4);
  put_int(f, 2, 8);
  put_text(f, "one");
  put_text(f, "");
  put_text(f, "double");
  put_int(f, 12, 4);
  put_int(f, 0x3fe0000000000000ULL, 8);
}

/* Eight parts of 32 elements, with the scales 1 to 8 and each element 1. */
static void put_block(file *f) {
  const unsigned char scales[12] = {1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8};
  put_int(f, 0x3c00, 2);
  put_int(f, 0, 2);
  put(f, scales, sizeof scales);
  for (int i = 0; i < 128; i++) {
    put_int(f, 0x11, 1);
  }
}

/* A tensor of Q4_K, one of Q8_0 and one of bfloat16. */
static void fill(file *f) {
  memset(f, 0, sizeof *f);
  put(f, "GGUF", 4);
  put_int(f, 3, 4);
  put_int(f, 3, 8);
  put_int(f, 2, 8);
  put_metadata(f);
  put_tensor(f, "k.weight", 12, 256, 0);
  put_tensor(f, "packed.weight", 8, 32, 160);
  put_tensor(f, "wide", 30, 2, 224);
  pad(f);
  put_block(f);
  pad(f);
  put_int(f, 0x3c00, 2);
  for (int i = 0; i < 32; i++) {
    put_int(f, (unsigned)(i - 16), 1);
  }
  pad(f);
  put_int(f, 0x7e96, 2);
  put_int(f, 0xbf80, 2);
}

static void write_file(const file *f, size_t size) {
  FILE *out = fopen(temp("m.gguf"), "wb");
  CHECK(out != NULL && fwrite(f->bytes, 1, size, out) == size && fclose(out) == 0);
}

static int load(mlx_io_gguf *loaded) {
  error_count = 0;
  return mlx_load_gguf(loaded, temp("m.gguf"), cpu);
}

static mlx_array array_of(mlx_io_gguf gguf, const char *name, mlx_dtype dtype) {
  mlx_array a = mlx_array_new();
  OK(mlx_io_gguf_get_array(&a, gguf, name));
  CHECK_INT(dtype, mlx_array_dtype(a));
  OK(mlx_array_eval(a));
  return a;
}

static void check_decoded(mlx_io_gguf gguf) {
  mlx_array a = array_of(gguf, "k.weight", MLX_FLOAT16), b = mlx_array_new();
  int start[1] = {0}, stop[1] = {256}, step[1] = {32};
  OK(mlx_slice(&b, a, start, 1, stop, 1, step, 1, cpu));
  IS(b, "1 2 3 4 5 6 7 8");
  drop(a, b);
}

static void check_packed(mlx_io_gguf gguf) {
  mlx_array weight = array_of(gguf, "packed.weight", MLX_UINT32), scales = array_of(gguf, "packed.scales", MLX_FLOAT16);
  mlx_array biases = array_of(gguf, "packed.biases", MLX_FLOAT16);
  CHECK_INT(8, mlx_array_size(weight));
  IS(scales, "1: 1");
  IS(biases, "1: -128");
  drop(weight, scales, biases);
}

static void test_whole_file(void) {
  file f;
  mlx_io_gguf gguf = {NULL};
  fill(&f);
  write_file(&f, f.size);
  CHECK_INT(0, load(&gguf));
  check_decoded(gguf);
  check_packed(gguf);
  mlx_array wide = array_of(gguf, "wide", MLX_BFLOAT16), half = mlx_array_new();
  CHECK(mlx_array_size(wide) == 2);
  OK(mlx_io_gguf_get_metadata_array(&half, gguf, "double"));
  CHECK_INT(MLX_FLOAT64, mlx_array_dtype(half));
  IS(half, "0.5");
  drop(wide, half);
  OK(mlx_io_gguf_free(gguf));
}

/* Every cut is an error that names the file. */
static void test_cut_files(void) {
  file f;
  fill(&f);
  for (size_t size = 0; size < f.size; size++) {
    mlx_io_gguf gguf = {NULL};
    write_file(&f, size);
    CHECK_INT(1, load(&gguf));
    CHECK_HAS("m.gguf", last_error);
    CHECK(gguf.ctx == NULL);
  }
}

/* Each byte as another: an error, or arrays that can be read. */
static void test_mangled_files(void) {
  const unsigned char others[] = {0, 1, 9, 0x7f, 0x80, 0xff};
  file whole;
  int failures = 0;
  fill(&whole);
  for (size_t place = 0; place < whole.size - BLOCK; place++) {
    for (size_t i = 0; i < sizeof others; i++) {
      file f = whole;
      mlx_io_gguf gguf = {NULL};
      f.bytes[place] = others[i];
      write_file(&f, f.size);
      int status = load(&gguf);
      CHECK(status == 0 || (status == 1 && error_count == 1));
      failures += status;
      OK(mlx_io_gguf_free(gguf));
    }
  }
  CHECK(failures > 100);
}

int main(void) {
  begin();
  GROUP("whole", make_temp_dir, test_whole_file);
  GROUP("cut", test_cut_files);
  GROUP("mangled", test_mangled_files);
  remove_temp("m.gguf");
  remove_temp_dir();
  return end();
}
