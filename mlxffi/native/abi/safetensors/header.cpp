#include "header.h"

#include <cstring>
#include <stdexcept>

namespace mlxc::safetensors {

namespace {

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr int first[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(first[following] | code >> 6 * following);
  for (int i = following - 1; i >= 0; i--) {
    text += static_cast<char>(0x80 | (code >> 6 * i & 0x3f));
  }
}

// Goes through JSON from front to back.
class Walker {
 public:
  explicit Walker(const std::string& json) : json_(json) {}

  // Calls visit(key), which goes through the value, for each entry of an object.
  template <class Visit>
  void object(Visit&& visit) {
    expect('{');
    if (next() == '}') {
      place_++;
      return;
    }
    for (;;) {
      std::string key = string();
      expect(':');
      visit(key);
      if (next() != ',') {
        return expect('}');
      }
      place_++;
    }
  }

  std::string string() {
    expect('"');
    std::string text;
    while (peek() != '"') {
      char c = json_[place_++];
      c == '\\' ? append_escaped(text) : text.push_back(c);
    }
    place_++;
    return text;
  }

  // Goes through a value of any kind.
  void skip() {
    int depth = 0;
    do {
      char c = next();
      if (c == '"') {
        string();
        continue;
      }
      depth += (c == '{' || c == '[') - (c == '}' || c == ']');
      place_++;
      while (!is_mark(c) && !is_mark(peek())) {
        place_++;
      }
    } while (depth > 0);
  }

  // The next character that is no space.
  char next() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n') {
      place_++;
    }
    return peek();
  }
  size_t place() const {
    return place_;
  }

 private:
  static bool is_mark(char c) {
    return std::strchr("{}[],:\" \t\r\n", c);
  }
  char peek() const {
    if (place_ >= json_.size()) {
      throw std::runtime_error("[load_safetensors] expected a JSON header, got one that ends early");
    }
    return json_[place_];
  }
  void expect(char wanted) {
    if (next() != wanted) {
      throw std::runtime_error(std::string("[load_safetensors] expected a JSON header with `") + wanted + "` at byte " + std::to_string(place_));
    }
    place_++;
  }
  uint32_t hexadecimal() {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
      char digit = peek();
      code = code << 4 | (digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
      place_++;
    }
    return code;
  }
  void append_escaped(std::string& text) {
    char kind = peek();
    place_++;
    if (kind != 'u') {
      constexpr const char *letters = "bfnrt", *meant = "\b\f\n\r\t";
      const char* found = std::strchr(letters, kind);
      text.push_back(found && kind ? meant[found - letters] : kind);
      return;
    }
    uint32_t code = hexadecimal() & 0xffff;
    if (code >= 0xd800 && code < 0xdc00 && json_.compare(place_, 2, "\\u") == 0) {
      place_ += 2;
      code = 0x10000 + ((code - 0xd800) << 10) + ((hexadecimal() - 0xdc00) & 0x3ff);
    }
    if (!code) {
      throw std::runtime_error("[load_safetensors] expected names and metadata without NUL characters, got " + shown(text) + " and a NUL");
    }
    append_utf8(text, code);
  }

  const std::string& json_;
  size_t place_ = 0;
};

void read_field(Walker& walker, const std::string& field, Entry& entry) {
  if (field == "dtype" && walker.next() == '"') {
    entry.place = walker.place() + 1;
    entry.dtype = walker.string();
  } else {
    walker.skip();
  }
}

} // namespace

std::vector<Entry> entries_of(const std::string& json) {
  Walker walker(json);
  std::vector<Entry> entries;
  walker.object([&](const std::string& name) {
    if (name == "__metadata__" || walker.next() != '{') {
      return walker.skip();
    }
    Entry entry{name, "", 0};
    walker.object([&](const std::string& field) { read_field(walker, field, entry); });
    entries.push_back(entry);
  });
  return entries;
}

uint64_t length_of(const std::string& start) {
  uint64_t length = 0;
  for (size_t i = length_size; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(start[i]);
  }
  return length;
}

} // namespace mlxc::safetensors
