/* Arrays over memory that belongs to Python. Their payload is a key into Python's registry of owners, never a pointer to a
 * Python object: the destructor touches no Python; it queues the key, and Python takes the queue up on its next call. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Keys whose arrays are gone. */
static pthread_mutex_t dropped_lock = PTHREAD_MUTEX_INITIALIZER;
static intptr_t *dropped_keys;
static size_t dropped_count, dropped_capacity;

/* A key for which there is no memory stays in the registry: a leak, not a crash. */
static void queue_key(void *payload) {
  pthread_mutex_lock(&dropped_lock);
  if (dropped_count == dropped_capacity) {
    size_t capacity = dropped_capacity ? 2 * dropped_capacity : 64;
    intptr_t *grown = realloc(dropped_keys, capacity * sizeof *grown);
    if (!grown) {
      pthread_mutex_unlock(&dropped_lock);
      return;
    }
    dropped_keys = grown;
    dropped_capacity = capacity;
  }
  dropped_keys[dropped_count++] = (intptr_t)payload;
  pthread_mutex_unlock(&dropped_lock);
}

static size_t glue_dropped_count(void) {
  pthread_mutex_lock(&dropped_lock);
  size_t count = dropped_count;
  pthread_mutex_unlock(&dropped_lock);
  return count;
}

/* Moves up to `capacity` keys out of the queue and tells how many. */
static size_t glue_dropped(intptr_t *keys, size_t capacity) {
  pthread_mutex_lock(&dropped_lock);
  size_t count = dropped_count < capacity ? dropped_count : capacity;
  dropped_count -= count;
  memcpy(keys, dropped_keys + dropped_count, count * sizeof *keys);
  pthread_mutex_unlock(&dropped_lock);
  return count;
}

/* An array over memory that belongs to Python: `key` stands for its owner and is queued once MLX is done with it, which
 * is at once where MLX copies, and after an error (0) too. */
static intptr_t glue_array_adopt(void *data, const int *shape, size_t shape_num, int dtype, intptr_t key) {
  return (intptr_t)mlx_array_new_data_managed_payload(data, shape, (int)shape_num, (mlx_dtype)dtype, (void *)key, &queue_key).ctx;
}
