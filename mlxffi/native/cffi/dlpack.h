/* Arrays for other libraries, by DLPack. */

#include "dlpack/structures.h"

static intptr_t glue_dlpack_new(intptr_t arr, const void *data, int code, bool versioned, uint64_t flags);
static const char *glue_dlpack_name(bool versioned);
static intptr_t glue_dlpack_destructor(void);
