#include "config/file.h"

#include "model/expand.h"

static sp_result compile_text(struct sp_arena *a, struct sp_str text, const char *path, int64_t now,
                              struct sp_resources **out, struct sp_problems *problems)
{
    struct sp_model *model;
    SP_TRY(sp_model_parse(a, text, sp_str_z(path), now, &model, problems));
    sp_model_seal_passwords(model); /* the file has them in plain text; what is made of it has not */
    return sp_compile(a, model, out, problems);
}

/* A file:// that cannot be read does not hide what else is wrong. */
static sp_result read_text(struct sp_arena *a, struct sp_str text, const char *path, int64_t now, struct sp_buf *whole,
                           struct sp_resources **out, struct sp_problems *problems)
{
    bool complete = sp_model_expand_files(a, text, sp_str_z(path), whole, problems);
    SP_TRY(compile_text(a, sp_buf_str(whole), path, now, out, problems));
    return complete ? sp_ok() : (sp_result){SP_E_INVALID};
}

sp_result dp_file_load(struct sp_arena *a, const char *path, int64_t now, struct sp_resources **out,
                       struct sp_problems *problems)
{
    struct sp_buf text = {0}, whole = {0};
    struct sp_error err;
    *out = NULL;
    sp_result r = sp_buf_read_file(&text, path, SP_MODEL_MAX_FILE, &err);
    if (sp_failed(r))
        sp_problems_add(problems, SP_PROBLEM_ERROR, "cannot_read", (struct sp_str){0}, "%s", err.text);
    else
        r = read_text(a, sp_buf_str(&text), path, now, &whole, out, problems);
    sp_buf_wipe(&text); /* they may hold private keys */
    sp_buf_wipe(&whole);
    return r;
}
