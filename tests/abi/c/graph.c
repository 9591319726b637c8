/* graph_utils.h: names of nodes, and graphs as text in a FILE. */
#include "check.h"

enum { TEXT = 4096 };

static const char *name_of(mlx_node_namer namer, mlx_array a) {
  const char *name = NULL;
  OK(mlx_node_namer_get_name(&name, namer, a));
  return name;
}

static void test_names(void) {
  mlx_node_namer namer = mlx_node_namer_new();
  mlx_array a = floats("1"), b = floats("2");
  OK(mlx_node_namer_set_name(namer, a, "first"));
  CHECK_STR("first", name_of(namer, a));
  CHECK(strlen(name_of(namer, b)) > 0);
  CHECK(strcmp(name_of(namer, b), "first") != 0);
  OK(mlx_node_namer_set_name(namer, a, "renamed"));
  CHECK_STR("renamed", name_of(namer, a));
  OK(mlx_node_namer_free(namer));
  drop(a, b);
}

static void test_names_errors(void) {
  mlx_node_namer namer = mlx_node_namer_new(), none = {NULL};
  mlx_array a = floats("1");
  const char *name = NULL;
  FAILS(mlx_node_namer_set_name(none, a, "a"));
  FAILS(mlx_node_namer_set_name(namer, a, NULL));
  FAILS(mlx_node_namer_set_name(namer, mlx_array_new(), "a"));
  FAILS(mlx_node_namer_get_name(&name, none, a));
  FAILS(mlx_node_namer_get_name(&name, namer, mlx_array_new()));
  CHECK(name == NULL);
  FREE(mlx_node_namer, none, namer);
  drop(a);
}

typedef struct sample_ {
  mlx_node_namer namer;
  mlx_vector_array outputs;
  mlx_array x, y;
} sample;

/* output = exp(left + right), with names on all three. */
static sample make_sample(void) {
  sample s;
  mlx_array sum = mlx_array_new(), out = mlx_array_new();
  s.namer = mlx_node_namer_new();
  s.x = floats("1 2");
  s.y = floats("3 4");
  OK(mlx_add(&sum, s.x, s.y, cpu));
  OK(mlx_exp(&out, sum, cpu));
  OK(mlx_node_namer_set_name(s.namer, s.x, "left"));
  OK(mlx_node_namer_set_name(s.namer, s.y, "right"));
  OK(mlx_node_namer_set_name(s.namer, out, "output"));
  s.outputs = take(1, out);
  drop(sum);
  return s;
}

static void free_sample(sample s) {
  OK(mlx_node_namer_free(s.namer));
  drop_vector(s.outputs);
  drop(s.x, s.y);
}

/* What was written so far, without flushing by hand first. */
static void read_back(FILE *f, char *text) {
  CHECK_INT(0, fseek(f, 0, SEEK_SET));
  size_t n = fread(text, 1, TEXT - 1, f);
  text[n] = 0;
}

static void check_names_in(const char *text) {
  CHECK_HAS("left", text);
  CHECK_HAS("right", text);
  CHECK_HAS("output", text);
  CHECK_HAS("Add", text);
  CHECK_HAS("Exp", text);
}

static void test_dot(void) {
  char text[TEXT];
  sample s = make_sample();
  FILE *f = tmpfile();
  CHECK(f != NULL);
  CHECK(fputs("// first line\n", f) >= 0);
  OK(mlx_export_to_dot(f, s.namer, s.outputs));
  read_back(f, text);
  CHECK(strncmp(text, "// first line\ndigraph {", 22) == 0);
  CHECK_HAS("->", text);
  check_names_in(text);
  CHECK_INT(0, fclose(f));
  free_sample(s);
}

static void test_print(void) {
  char text[TEXT];
  sample s = make_sample();
  FILE *f = tmpfile();
  CHECK(f != NULL);
  OK(mlx_print_graph(f, s.namer, s.outputs));
  read_back(f, text);
  check_names_in(text);
  CHECK_HAS("Inputs:", text);
  CHECK_HAS("Outputs:", text);
  CHECK_INT(0, fclose(f));
  free_sample(s);
}

static void test_unnamed(void) {
  char text[TEXT];
  sample s = make_sample();
  mlx_node_namer plain = mlx_node_namer_new();
  FILE *f = tmpfile();
  CHECK(f != NULL);
  OK(mlx_print_graph(f, plain, s.outputs));
  read_back(f, text);
  CHECK(strstr(text, "left") == NULL);
  CHECK_HAS("Exp", text);
  CHECK_INT(0, fclose(f));
  OK(mlx_node_namer_free(plain));
  free_sample(s);
}

static void test_errors(void) {
  sample s = make_sample();
  mlx_node_namer none = {NULL};
  mlx_vector_array nothing = {NULL};
  FILE *f = tmpfile();
  CHECK(f != NULL);
  FAILS(mlx_export_to_dot(NULL, s.namer, s.outputs));
  FAILS(mlx_export_to_dot(f, none, s.outputs));
  FAILS(mlx_print_graph(NULL, s.namer, s.outputs));
  FAILS(mlx_print_graph(f, s.namer, nothing));
  CHECK_INT(0, ftell(f));
  CHECK_INT(0, fclose(f));
  free_sample(s);
}

int main(void) {
  begin();
  GROUP("names", test_names, test_names_errors);
  GROUP("dot", test_dot);
  GROUP("print", test_print, test_unnamed);
  GROUP("errors", test_errors);
  return end();
}
