/* The module mlxffi._native: what mlxffi.core stands on. */

#include "native.h"

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "Arrays, operations and transforms of mlxffi.core over libmlxc.", -1, NULL, NULL, NULL, NULL, NULL};

static bool (*const parts[])(PyObject *module) = {
  init_configuration, init_arrays,     init_parts, init_devices, init_handles, init_contexts,
  init_exchange,      init_operations, init_rows,  init_trees,   init_closures, init_transforms,
};

PyMODINIT_FUNC PyInit__native(void) {
  PyObject *made = PyModule_Create(&definition);
  for (size_t i = 0; made && i < sizeof parts / sizeof *parts; i++) {
    if (!parts[i](made)) {
      Py_CLEAR(made);
    }
  }
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
  return made;
}
