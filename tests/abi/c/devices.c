/* Devices, what is known of them, and the back ends present. */
#include "check.h"

static void check_device(mlx_device dev, mlx_device_type type, int index) {
  mlx_device_type got_type = MLX_GPU;
  int got_index = -1;
  OK(mlx_device_get_type(&got_type, dev));
  OK(mlx_device_get_index(&got_index, dev));
  CHECK_INT(type, got_type);
  CHECK_INT(index, got_index);
}

static void test_device(void) {
  mlx_device cpu0 = mlx_device_new_type(MLX_CPU, 0), again = mlx_device_new();
  mlx_device gpu1 = mlx_device_new_type(MLX_GPU, 1);
  CHECK(again.ctx == NULL);
  check_device(cpu0, MLX_CPU, 0);
  check_device(gpu1, MLX_GPU, 1);
  OK(mlx_device_set(&again, cpu0));
  CHECK(mlx_device_equal(again, cpu0));
  CHECK(!mlx_device_equal(gpu1, cpu0));
  OK(mlx_device_set(&again, gpu1));
  OK(mlx_device_set(&again, again));
  CHECK(mlx_device_equal(again, gpu1));
  FREE(mlx_device, cpu0, again, gpu1);
}

static void test_device_text(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_string text = mlx_string_new();
  OK(mlx_device_tostring(&text, dev));
  CHECK_STR("Device(cpu, 0)", mlx_string_data(text));
  OK(mlx_string_free(text));
  OK(mlx_device_free(dev));
}

static void test_default_device(void) {
  mlx_device first = mlx_device_new(), now = mlx_device_new(), wanted = mlx_device_new_type(MLX_CPU, 0);
  OK(mlx_get_default_device(&first));
  CHECK(first.ctx != NULL);
  OK(mlx_set_default_device(wanted));
  OK(mlx_get_default_device(&now));
  CHECK(mlx_device_equal(now, wanted));
  OK(mlx_set_default_device(first));
  OK(mlx_get_default_device(&now));
  CHECK(mlx_device_equal(now, first));
  FREE(mlx_device, first, now, wanted);
}

static void test_availability(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  bool available = false, metal = true, cuda = true;
  int cpus = 0, gpus = -1;
  OK(mlx_device_is_available(&available, dev));
  CHECK(available);
  OK(mlx_device_count(&cpus, MLX_CPU));
  OK(mlx_device_count(&gpus, MLX_GPU));
  CHECK_INT(1, cpus);
  OK(mlx_metal_is_available(&metal));
  OK(mlx_cuda_is_available(&cuda));
  CHECK((gpus > 0) == (metal || cuda));
  OK(mlx_device_free(dev));
}

static void test_no_gpu_default(void) {
  bool available = true;
  mlx_device gpu = mlx_device_new_type(MLX_GPU, 0);
  OK(mlx_device_is_available(&available, gpu));
  if (!available) {
    FAILS(mlx_set_default_device(gpu));
    CHECK_HAS("gpu", last_error);
  }
  OK(mlx_device_free(gpu));
}

static void test_metal_capture(void) {
  bool metal = true;
  OK(mlx_metal_is_available(&metal));
  if (!metal) {
    FAILS(mlx_metal_start_capture("/tmp/never.gputrace"));
    FAILS(mlx_metal_stop_capture());
  }
  FAILS(mlx_metal_start_capture(NULL));
}

static void check_info_entry(mlx_device_info info, const char *key) {
  bool is_string = false, exists = false;
  const char *text = NULL;
  size_t number = 0;
  OK(mlx_device_info_has_key(&exists, info, key));
  CHECK(exists);
  OK(mlx_device_info_is_string(&is_string, info, key));
  if (is_string) {
    OK(mlx_device_info_get_string(&text, info, key));
    CHECK(text != NULL);
    CHECK(mlx_device_info_get_size(&number, info, key) != 0);
  } else {
    OK(mlx_device_info_get_size(&number, info, key));
    CHECK(mlx_device_info_get_string(&text, info, key) != 0);
  }
}

static void test_device_info(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_device_info info = mlx_device_info_new();
  mlx_vector_string keys = mlx_vector_string_new();
  bool exists = false;
  char *key = NULL;
  CHECK(info.ctx == NULL);
  OK(mlx_device_info_get(&info, dev));
  OK(mlx_device_info_get(&info, dev));
  OK(mlx_device_info_get_keys(&keys, info));
  CHECK(mlx_vector_string_size(keys) > 0);
  for (size_t i = 0; i < mlx_vector_string_size(keys); i++) {
    OK(mlx_vector_string_get(&key, keys, i));
    check_info_entry(info, key);
  }
  OK(mlx_device_info_has_key(&exists, info, "device_name"));
  CHECK(exists);
  OK(mlx_vector_string_free(keys));
  OK(mlx_device_info_free(info));
  OK(mlx_device_free(dev));
}

static void test_device_info_missing(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_device_info info = mlx_device_info_new();
  const char *text = NULL;
  size_t number = 0;
  bool flag = true;
  OK(mlx_device_info_get(&info, dev));
  OK(mlx_device_info_has_key(&flag, info, "no such key"));
  CHECK(!flag);
  flag = true;
  OK(mlx_device_info_is_string(&flag, info, "no such key"));
  CHECK(!flag);
  CHECK_INT(2, mlx_device_info_get_string(&text, info, "no such key"));
  CHECK_INT(2, mlx_device_info_get_size(&number, info, "no such key"));
  OK(mlx_device_info_free(info));
  OK(mlx_device_free(dev));
}

static void test_null_handles(void) {
  mlx_device none = mlx_device_new();
  mlx_device_info no_info = mlx_device_info_new();
  mlx_string text = mlx_string_new();
  bool flag = true;
  int number = 0;
  FAILS(mlx_device_get_index(&number, none));
  FAILS(mlx_set_default_device(none));
  FAILS(mlx_device_tostring(&text, none));
  FAILS(mlx_device_info_get(&no_info, none));
  FAILS(mlx_device_info_has_key(&flag, no_info, "a"));
  REJECTS(!mlx_device_equal(none, none));
  OK(mlx_device_free(none));
  OK(mlx_device_info_free(no_info));
  OK(mlx_string_free(text));
}

static void test_version(void) {
  mlx_string text = {NULL};
  int major = -1, minor = -1, patch = -1;
  OK(mlx_version(&text));
  CHECK_INT(3, sscanf(mlx_string_data(text), "%d.%d.%d", &major, &minor, &patch));
  CHECK(major > 0 || minor >= 31);
  OK(mlx_version(&text));
  OK(mlx_string_free(text));
}

int main(void) {
  begin();
  GROUP("devices", test_device, test_device_text, test_default_device);
  GROUP("availability", test_availability, test_no_gpu_default, test_metal_capture);
  GROUP("device info", test_device_info, test_device_info_missing);
  GROUP("null handles", test_null_handles);
  GROUP("version", test_version);
  return end();
}
