#include "json.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *at, *end;
} reader;

static json *read_value(reader *r);

static void skip(reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL) {
    r->at++;
  }
}

static bool take(reader *r, const char *word) {
  size_t size = strlen(word);
  skip(r);
  if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0) {
    return false;
  }
  r->at += size;
  return true;
}

static json *node(json_kind kind) {
  json *made = calloc(1, sizeof *made);
  made->kind = kind;
  return made;
}

/* What stands for a character after a backslash; there is no \\u, for the suite is ASCII. */
static char unescaped(char name) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  const char *found = strchr(names, name);
  return found != NULL ? values[found - names] : '?';
}

/* Where the closing quote stands, or the end. */
static const char *closing(const reader *r) {
  const char *at = r->at;
  while (at < r->end && *at != '"') {
    at += *at == '\\' ? 2 : 1;
  }
  return at;
}

/* The characters up to the closing quote; no escape is shorter than what it stands for. */
static char *read_text(reader *r) {
  const char *close = closing(r);
  if (close >= r->end) {
    return NULL;
  }
  char *text = malloc((size_t)(close - r->at) + 1), *to = text;
  while (r->at < close) {
    bool escaped = *r->at == '\\';
    r->at += escaped;
    *to++ = escaped ? unescaped(*r->at) : *r->at;
    r->at++;
  }
  *to = 0;
  r->at = close + 1;
  return text;
}

static bool read_key(reader *r, char **key) {
  *key = take(r, "\"") ? read_text(r) : NULL;
  return *key != NULL && take(r, ":");
}

/* What stands between brackets, after the opening one. */
static json *read_many(reader *r, json_kind kind, const char *close) {
  json *all = node(kind), **last = &all->first;
  if (take(r, close)) {
    return all;
  }
  do {
    char *key = NULL;
    json *one = kind == JSON_LIST || read_key(r, &key) ? read_value(r) : NULL;
    if (one == NULL) {
      free(key);
      json_free(all);
      return NULL;
    }
    one->key = key;
    *last = one;
    last = &one->next;
    all->size++;
  } while (take(r, ","));
  if (take(r, close)) {
    return all;
  }
  json_free(all);
  return NULL;
}

static json *read_number(reader *r) {
  char digits[64] = {0}, *end;
  for (size_t i = 0; i + 1 < sizeof digits && r->at + i < r->end; i++) {
    digits[i] = r->at[i];
  }
  double value = strtod(digits, &end);
  if (end == digits) {
    return NULL;
  }
  r->at += end - digits;
  json *made = node(JSON_NUMBER);
  made->number = value;
  return made;
}

static json *read_string(reader *r) {
  char *text = read_text(r);
  json *made = text != NULL ? node(JSON_TEXT) : NULL;
  if (made != NULL) {
    made->text = text;
  }
  return made;
}

static json *read_value(reader *r) {
  if (take(r, "{")) {
    return read_many(r, JSON_OBJECT, "}");
  }
  if (take(r, "[")) {
    return read_many(r, JSON_LIST, "]");
  }
  if (take(r, "null")) {
    return node(JSON_NULL);
  }
  if (take(r, "\"")) {
    return read_string(r);
  }
  bool is_true = take(r, "true");
  if (is_true || take(r, "false")) {
    json *made = node(JSON_BOOL);
    made->number = is_true;
    return made;
  }
  return read_number(r);
}

json *json_parse(const char *text, size_t size) {
  reader r = {text, text + size};
  return read_value(&r);
}

void json_free(json *tree) {
  while (tree != NULL) {
    json *next = tree->next;
    json_free(tree->first);
    free(tree->key);
    free(tree->text);
    free(tree);
    tree = next;
  }
}

const json *json_get(const json *object, const char *key) {
  const json *each = object != NULL && object->kind == JSON_OBJECT ? object->first : NULL;
  while (each != NULL && strcmp(each->key, key) != 0) {
    each = each->next;
  }
  return each;
}

const json *json_at(const json *list, size_t place) {
  const json *each = list != NULL ? list->first : NULL;
  while (each != NULL && place-- > 0) {
    each = each->next;
  }
  return each;
}

double json_number(const json *object, const char *key, double otherwise) {
  const json *found = json_get(object, key);
  return found != NULL && found->kind == JSON_NUMBER ? found->number : otherwise;
}

const char *json_text(const json *object, const char *key) {
  const json *found = json_get(object, key);
  return found != NULL && found->kind == JSON_TEXT ? found->text : "";
}
