/* A small JSON reader: a file becomes a tree of nodes. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json {
  json_kind kind;
  char *key;          /* in an object */
  char *text;         /* of JSON_TEXT */
  double number;      /* of JSON_NUMBER, and 0 or 1 of JSON_BOOL */
  size_t size;        /* how many are in a list or an object */
  struct json *first; /* of those */
  struct json *next;
} json;

/* The tree of `size` bytes; NULL when they are no JSON. */
json *json_parse(const char *text, size_t size);

void json_free(json *node);

/* What an object has under a key, or a list at a place; NULL where there is nothing. */
const json *json_get(const json *object, const char *key);
const json *json_at(const json *list, size_t place);

/* A number or a text under a key, or what stands in for it. */
double json_number(const json *object, const char *key, double otherwise);
const char *json_text(const json *object, const char *key);

#endif
