// The default stream's handle, default streams that may not exist yet, and which streams there are.
#include "convert.h"

namespace mlxc {

namespace {

// Its address is the handle; nothing is stored there.
char default_stream_handle;

} // namespace

bool is_default_stream(mlx_stream stream) {
  return stream.ctx == &default_stream_handle;
}

} // namespace mlxc

using namespace mlxc;

extern "C" mlx_stream mlxffi_default_stream(void) {
  return {&default_stream_handle};
}

extern "C" int mlx_peek_default_stream(mlx_stream* stream, mlx_device dev) {
  bool there = false;
  int failed = guarded(__func__, [&] {
    auto& device = get(dev, "dev");
    if (device.index < 0 || device.index >= mx::device_count(device.type)) {
      throw BadArgument("dev", "there is no such device: " + printed(device));
    }
    auto found = mx::peek_default_stream(device);
    there = found.has_value();
    if (there) {
      put(stream, *found);
    }
  });
  return failed ? failed : there ? 0 : 2;
}

extern "C" int mlxffi_get_streams(mlx_stream* streams, size_t room, size_t* count) {
  return guarded(__func__, [&] {
    auto all = mx::get_streams();
    require(count);
    if (room && !streams) {
      throw BadArgument("streams", "expected a place for each of " + std::to_string(room) + " streams, got NULL");
    }
    for (size_t i = 0; i < std::min(room, all.size()); i++) {
      put(&streams[i], all[i]);
    }
    *count = all.size();
  });
}
