#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensors.h"

static struct {
  char **names;
  int count;
  char *expected; /* names, a line each, between newlines */
  int right, all, left_out, right_before, all_before;
} report;

void report_begin(const char *expect, char **names, int count) {
  size_t size;
  char *text = expect != NULL ? read_file(expect, &size) : NULL;
  report.names = names;
  report.count = count;
  if (expect != NULL && text == NULL) {
    fprintf(stderr, "cannot read %s\n", expect);
    exit(2);
  }
  if (text != NULL) {
    report.expected = calloc(size + 3, 1);
    snprintf(report.expected, size + 3, "\n%s\n", text);
    free(text);
  }
}

bool report_wants(const char *name) {
  bool wanted = report.count == 0;
  for (int i = 0; i < report.count; i++) {
    wanted = wanted || strncmp(name, report.names[i], strlen(report.names[i])) == 0;
  }
  return wanted;
}

static bool expected_to_fail(const char *name) {
  char line[512];
  snprintf(line, sizeof line, "\n%s\n", name);
  return report.expected != NULL && strstr(report.expected, line) != NULL;
}

void report_passed(const char *name) {
  report.all++;
  if (expected_to_fail(name)) {
    printf("unexpected pass: %s\n", name);
  } else {
    report.right++;
  }
}

void report_failed(const char *name, const char *why) {
  report.all++;
  if (expected_to_fail(name)) {
    report.right++;
  } else {
    printf("failed: %s: %s\n", name, why);
  }
}

void report_left_out(const char *name, const char *why) {
  report.left_out++;
  printf("left out: %s: %s\n", name, why);
}

void report_set(const char *set) {
  printf("%s: %d of %d\n", set, report.right - report.right_before, report.all - report.all_before);
  report.right_before = report.right;
  report.all_before = report.all;
}

int report_end(void) {
  if (report.left_out > 0) {
    printf("left out: %d\n", report.left_out);
  }
  printf("%d of %d\n", report.right, report.all);
  free(report.expected);
  return report.right != report.all;
}
