// The default stream's handle, and default streams that may not exist yet.
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
