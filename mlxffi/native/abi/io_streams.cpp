#include "io_streams.h"

#include <cstdio>

namespace mlxc {

namespace {

int whence(std::ios_base::seekdir way) {
  return way == std::ios_base::beg ? SEEK_SET : way == std::ios_base::end ? SEEK_END : SEEK_CUR;
}

void require_member(bool there, const char* member) {
  if (!there) {
    throw BadArgument("vtable", std::string("expected a function in `") + member + "`, got NULL");
  }
}

} // namespace

Stream::Stream(void* desc, mlx_io_vtable vtable) : desc(desc), vtable(vtable) {
  require_member(vtable.is_open, "is_open");
  require_member(vtable.good, "good");
  require_member(vtable.tell, "tell");
  require_member(vtable.seek, "seek");
  require_member(vtable.label, "label");
}

Stream::~Stream() {
  if (vtable.free) {
    vtable.free(desc);
  }
}

std::string Stream::label() const {
  const char* name = vtable.label(desc);
  return name ? name : "(unnamed stream)";
}

void Stream::check_good(const char* action) const {
  if (!vtable.good(desc)) {
    throw std::runtime_error(std::string("[") + action + "] failed on " + label());
  }
}

// A vtable that lacks a function is refused before the stream exists, so `free` is not called for it.
Reader::Reader(void* desc, mlx_io_vtable vtable)
    : stream((require_member(vtable.read, "read"), require_member(vtable.read_at_offset, "read_at_offset"), desc), vtable) {}

bool Reader::is_open() const {
  return stream.vtable.is_open(stream.desc);
}

bool Reader::good() const {
  return stream.vtable.good(stream.desc);
}

size_t Reader::tell() {
  return stream.vtable.tell(stream.desc);
}

void Reader::seek(int64_t off, std::ios_base::seekdir way) {
  stream.vtable.seek(stream.desc, off, whence(way));
}

void Reader::read(char* data, size_t n) {
  stream.vtable.read(stream.desc, data, n);
  stream.check_good("read");
}

void Reader::read(char* data, size_t n, size_t offset) {
  stream.vtable.read_at_offset(stream.desc, data, n, offset);
  stream.check_good("read");
}

std::string Reader::label() const {
  return stream.label();
}

Writer::Writer(void* desc, mlx_io_vtable vtable) : stream((require_member(vtable.write, "write"), desc), vtable) {}

bool Writer::is_open() const {
  return stream.vtable.is_open(stream.desc);
}

bool Writer::good() const {
  return stream.vtable.good(stream.desc);
}

size_t Writer::tell() {
  return stream.vtable.tell(stream.desc);
}

void Writer::seek(int64_t off, std::ios_base::seekdir way) {
  stream.vtable.seek(stream.desc, off, whence(way));
}

void Writer::write(const char* data, size_t n) {
  stream.vtable.write(stream.desc, data, n);
  stream.check_good("write");
}

std::string Writer::label() const {
  return stream.label();
}

} // namespace mlxc

using namespace mlxc;

extern "C" mlx_io_reader mlx_io_reader_new(void* desc, mlx_io_vtable vtable) {
  return made<mlx_io_reader>(__func__, [&] { return std::make_shared<Reader>(desc, vtable); });
}

extern "C" int mlx_io_reader_descriptor(void** desc_, mlx_io_reader io) {
  return guarded(__func__, [&] { put(desc_, get(io, "io")->stream.desc); });
}

extern "C" mlx_io_writer mlx_io_writer_new(void* desc, mlx_io_vtable vtable) {
  return made<mlx_io_writer>(__func__, [&] { return std::make_shared<Writer>(desc, vtable); });
}

extern "C" int mlx_io_writer_descriptor(void** desc_, mlx_io_writer io) {
  return guarded(__func__, [&] { put(desc_, get(io, "io")->stream.desc); });
}
