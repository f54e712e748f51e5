#include "config/file.h"

sp_result dp_file_load(struct sp_arena *a, const char *path, int64_t now, struct sp_resources **out,
                       struct sp_problems *problems)
{
    struct sp_buf text = {0};
    struct sp_model *model;
    struct sp_error err;
    *out = NULL;
    sp_result r = sp_buf_read_file(&text, path, SP_MODEL_MAX_FILE, &err);
    if (sp_failed(r))
        sp_problems_add(problems, SP_PROBLEM_ERROR, "cannot_read", (struct sp_str){0}, "%s", err.text);
    else
        r = sp_model_parse(a, sp_arena_dup(a, sp_buf_str(&text)), sp_str_z(path), now, &model, problems);
    if (!sp_failed(r))
        r = sp_compile(a, model, out, problems);
    sp_buf_wipe(&text); /* it may hold private keys */
    return r;
}
