/* The module mlxffi._native: what mlxffi.core stands on. */

#include "dispatch/conversions.h"
#include "dispatch/operation.h"

/* By hand, and those in generated/. */
extern const Row generated_rows[], operator_rows[], shape_rows[], numeric_rows[], creation_rows[],
  value_rows[], literal_rows[], update_rows[], exchange_rows[], product_rows[];
extern const AbiRow closure_rows[], exchange_functions[], literal_functions[], transform_rows[];

/* Those that are none of the above. */
extern PyMethodDef array_functions[], closure_functions[], configuration_functions[], loan_functions[],
  operation_functions[], transform_functions[], tree_functions[];

static const AbiRow *const own_rows[] = {closure_rows, exchange_functions, literal_functions, transform_rows};

static PyMethodDef *const functions[] = {
  array_functions, closure_functions, configuration_functions, loan_functions, operation_functions, transform_functions,
  tree_functions,
};

static const Row *const tables[] = {
  generated_rows, operator_rows, shape_rows,  numeric_rows, creation_rows,
  value_rows,     literal_rows,  update_rows, exchange_rows, product_rows, NULL,
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "Arrays, operations and transforms of mlxffi.core over libmlxc.", -1, NULL, NULL, NULL, NULL, NULL};

static bool (*const parts[])(PyObject *module) = {
  init_arrays, init_parts, init_devices, init_handles, init_contexts, init_trees, init_loans, init_closures,
};

PyMODINIT_FUNC PyInit__native(void) {
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
  PyObject *made = PyModule_Create(&definition);
  bool done = made && init_operations(tables) && add_abi(made);
  for (size_t i = 0; done && i < sizeof parts / sizeof *parts; i++) {
    done = parts[i](made);
  }
  for (size_t i = 0; done && i < sizeof functions / sizeof *functions; i++) {
    done = PyModule_AddFunctions(made, functions[i]) == 0;
  }
  for (size_t i = 0; done && i < sizeof own_rows / sizeof *own_rows; i++) {
    done = add_rows(made, own_rows[i]);
  }
#ifdef Py_GIL_DISABLED
  done = done && !PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
  if (!done) {
    Py_CLEAR(made);
  }
  return made;
}
