int glue_ignore_errors(void);
int glue_error_kind(void);
const char *glue_error_text(void);
void glue_clear_error(void);
