/* Arrays for other libraries, by DLPack: see dlpack/exports.h. */

#include "dlpack/exports.h"

/* A structure that owns the handle `arr`; 0 where there is no memory for it. */
static intptr_t glue_dlpack_new(intptr_t arr, const void *data, int code, bool versioned, uint64_t flags) {
  return (intptr_t)new_export((mlx_array){(void *)arr}, data, code, versioned, flags);
}

static const char *glue_dlpack_name(bool versioned) {
  return capsule_name(versioned);
}

/* What PyCapsule_New takes for a capsule of glue_dlpack_new(). */
static intptr_t glue_dlpack_destructor(void) {
  return (intptr_t)&drop_capsule;
}
