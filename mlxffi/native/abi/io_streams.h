// Readers and writers over a C program's own functions.
#pragma once

#include "convert.h"
#include "mlx/io/load.h"

namespace mlxc {

// A program's stream: `free` is called once, when its last user is gone.
struct Stream {
  Stream(void* desc, mlx_io_vtable vtable);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  std::string label() const;
  void check_good(const char* action) const;
  void* desc;
  mlx_io_vtable vtable;
};

class Reader : public mx::io::Reader {
 public:
  Reader(void* desc, mlx_io_vtable vtable);
  bool is_open() const override;
  bool good() const override;
  size_t tell() override;
  void seek(int64_t off, std::ios_base::seekdir way) override;
  void read(char* data, size_t n) override;
  void read(char* data, size_t n, size_t offset) override;
  std::string label() const override;
  const Stream stream;
};

class Writer : public mx::io::Writer {
 public:
  Writer(void* desc, mlx_io_vtable vtable);
  bool is_open() const override;
  bool good() const override;
  size_t tell() override;
  void seek(int64_t off, std::ios_base::seekdir way) override;
  void write(const char* data, size_t n) override;
  std::string label() const override;
  const Stream stream;
};

} // namespace mlxc
