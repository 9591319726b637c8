/* What a port does in its own language: batches of records, and files of adapters. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lists.h"
#include "program.h"

/* ---- batches ---- */

enum { PAD_TO = 32 };

/* Adds an array of [rows, columns], and frees the elements, which are copied. */
static void append_data(mlx_vector_array to, void *data, size_t rows, size_t columns, mlx_dtype dtype) {
  const int shape[] = {(int)rows, (int)columns};
  mlx_array made = mlx_array_new_data(data, shape, 2, dtype);
  mlx_vector_array_append_value(to, made);
  mlx_array_free(made);
  free(data);
}

static size_t width_of(const json *records, size_t most) {
  size_t longest = 0;
  for (const json *record = records->first; record != NULL; record = record->next) {
    size_t length = json_get(record, "tokens")->size;
    longest = length > longest ? length : longest;
  }
  size_t width = 1 + PAD_TO * ((longest + PAD_TO - 1) / PAD_TO);
  return width < most ? width : most;
}

/* One row: inputs are the tokens but the last, targets those but the first, the mask what is learnt. */
static void fill_row(const json *record, size_t width, int32_t *inputs, int32_t *targets, bool *mask) {
  const json *tokens = json_get(record, "tokens");
  size_t length = tokens->size < width ? tokens->size : width, offset = (size_t)json_number(record, "offset", 0);
  for (size_t t = 0; t < width; t++) {
    int32_t token = t < length ? (int32_t)json_at(tokens, t)->number : 0;
    if (t + 1 < width) {
      inputs[t] = token;
    }
    if (t > 0) {
      targets[t - 1] = token;
      mask[t - 1] = offset <= t && t < length;
    }
  }
}

static int batch(mlx_vector_array *res, const json *arguments) {
  const json *records = json_get(arguments, "records");
  size_t rows = records->size, width = width_of(records, (size_t)json_number(arguments, "max_seq_length", 0));
  size_t columns = width - 1, row = 0;
  int32_t *inputs = calloc(rows * columns, sizeof *inputs), *targets = calloc(rows * columns, sizeof *targets);
  bool *mask = calloc(rows * columns, sizeof *mask);
  for (const json *record = records->first; record != NULL; record = record->next, row += columns) {
    fill_row(record, width, inputs + row, targets + row, mask + row);
  }
  *res = mlx_vector_array_new();
  append_data(*res, inputs, rows, columns, MLX_INT32);
  append_data(*res, targets, rows, columns, MLX_INT32);
  append_data(*res, mask, rows, columns, MLX_BOOL);
  return 0;
}

/* ---- adapters ---- */

/* The tensor that the file has as `prefix` layer `suffix`, turned round if need be. */
static int append_factor(mlx_vector_array to, const json *arguments, const tensors *set, const char *prefix,
                         const char *suffix, bool turn) {
  char name[MAX_MESSAGE];
  snprintf(name, sizeof name, "%s%s%s", prefix, json_text(arguments, "layer"), suffix);
  mlx_array factor = tensors_get(set, json_text(json_get(arguments, "file"), name));
  mlx_stream stream = mlx_default_cpu_stream_new();
  int status = factor.ctx == NULL || (turn && mlx_transpose(&factor, factor, stream)) ||
               mlx_vector_array_append_value(to, factor);
  mlx_array_free(factor);
  mlx_stream_free(stream);
  return status;
}

static bool flag(const json *config, const char *key) {
  const json *found = json_get(config, key);
  return found != NULL && found->kind == JSON_BOOL && found->number != 0;
}

/* Peft's scale, mlx-lm's (`scale` counts before `alpha`), and the Go port's. */
static double scale_of(const json *config) {
  const json *parameters = json_get(config, "lora_parameters");
  double rank = json_number(parameters, "rank", json_number(config, "rank", json_number(config, "r", 8)));
  if (json_get(config, "peft_type") != NULL) {
    return json_number(config, "lora_alpha", 8) / (flag(config, "use_rslora") ? sqrt(rank) : rank);
  }
  double alpha = json_number(parameters, "alpha", json_number(config, "alpha", 2 * rank));
  return json_number(parameters, "scale", alpha / rank);
}

static int append_scale(mlx_vector_array to, const json *config) {
  mlx_array scale = mlx_array_new_float32((float)scale_of(config));
  int status = mlx_vector_array_append_value(to, scale);
  mlx_array_free(scale);
  return status;
}

static int adapter(mlx_vector_array *res, const json *arguments, const tensors *set) {
  const json *config = json_get(arguments, "config");
  bool peft = json_get(config, "peft_type") != NULL, turn = peft || json_get(config, "lora_layers") != NULL;
  bool dora = flag(config, "use_dora") || strcmp(json_text(config, "fine_tune_type"), "dora") == 0;
  const char *prefix = peft ? "base_model.model." : "";
  *res = mlx_vector_array_new();
  return append_factor(*res, arguments, set, prefix, peft ? ".lora_A.weight" : ".lora_a", turn) ||
         append_factor(*res, arguments, set, prefix, peft ? ".lora_B.weight" : ".lora_b", turn) ||
         append_scale(*res, config) ||
         (dora && append_factor(*res, arguments, set, prefix, peft ? ".lora_magnitude_vector" : ".m", false));
}

int contract_outputs(mlx_vector_array *res, const json *contract, const tensors *set) {
  const char *name = json_text(contract, "name");
  const json *arguments = json_get(contract, "arguments");
  if (strcmp(name, "batch") == 0) {
    return batch(res, arguments);
  }
  return strcmp(name, "adapter") == 0 ? adapter(res, arguments, set) : 2;
}
