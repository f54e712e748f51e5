#include "config/cache.h"

#include "config/resource.h"
#include "tls/seal.h"

#include <stdlib.h>
#include <unistd.h>

/* All numbers in the machine's order: the file does not travel. */
struct head {
    char magic[8];
    int64_t revision;
    uint64_t num;
};
struct entry {
    uint32_t kind, name_len, body_len;
    uint8_t hash[16];
};

static const char magic[8] = "SPCACHE1";
static const struct sp_str label = {"sallyport last-good cache", 25};

static void write_plain(struct sp_buf *b, int64_t revision, const struct sp_resources *r)
{
    struct head h = {.revision = revision, .num = r->num};
    memcpy(h.magic, magic, sizeof magic);
    size_t total = sizeof h;
    for (size_t i = 0; i < r->num; i++)
        total += sizeof(struct entry) + r->v[i].name.len + r->v[i].body.len;
    sp_buf_reserve(b, total); /* at once: growing would leave copies of keys behind */
    sp_buf_append(b, &h, sizeof h);
    for (size_t i = 0; i < r->num; i++) {
        const struct sp_resource *from = &r->v[i];
        struct entry e = {(uint32_t)from->kind, (uint32_t)from->name.len, (uint32_t)from->body.len, {0}};
        memcpy(e.hash, from->hash, sizeof e.hash);
        sp_buf_append(b, &e, sizeof e);
        sp_buf_add(b, from->name);
        sp_buf_add(b, from->body);
    }
}

sp_result dp_cache_save(const char *path, struct sp_str key_pem, int64_t revision, const struct sp_resources *r,
                        struct sp_error *err)
{
    struct sp_buf plain = {0}, sealed = {0};
    write_plain(&plain, revision, r);
    sp_result res = sp_seal(key_pem, label, sp_buf_str(&plain), &sealed, err);
    sp_buf_wipe(&plain);
    if (!sp_failed(res))
        res = sp_write_file(path, sp_buf_str(&sealed), 0600, err);
    sp_buf_fini(&sealed);
    return res;
}

static bool take(struct sp_str *from, void *to, size_t n)
{
    if (from->len < n)
        return false;
    memcpy(to, from->p, n);
    *from = sp_str_skip(*from, n);
    return true;
}

static bool take_str(struct sp_str *from, size_t n, struct sp_str *to)
{
    if (from->len < n)
        return false;
    *to = sp_str(from->p, n);
    *from = sp_str_skip(*from, n);
    return true;
}

static bool read_plain(struct sp_str plain, struct dp_cached *out)
{
    struct head h;
    if (!take(&plain, &h, sizeof h) || memcmp(h.magic, magic, sizeof magic) != 0)
        return false;
    if (h.num > plain.len / sizeof(struct entry))
        return false;
    out->revision = h.revision;
    out->v = sp_alloc((h.num + 1) * sizeof *out->v);
    for (; out->num < h.num; out->num++) {
        struct sp_resource *r = &out->v[out->num];
        struct entry e;
        if (!take(&plain, &e, sizeof e) || !take_str(&plain, e.name_len, &r->name) ||
            !take_str(&plain, e.body_len, &r->body))
            return false;
        r->kind = (Sallyport__V1__Kind)e.kind;
        memcpy(r->hash, e.hash, sizeof r->hash);
    }
    return plain.len == 0;
}

sp_result dp_cache_load(const char *path, struct sp_str key_pem, size_t max_bytes, struct dp_cached *out,
                        struct sp_error *err)
{
    struct sp_buf sealed = {0};
    *out = (struct dp_cached){0};
    if (access(path, F_OK) != 0)
        return sp_fail(err, SP_E_NOT_FOUND, "%s: no such file", path);
    sp_result res = sp_buf_read_file(&sealed, path, max_bytes + (1 << 20), err);
    if (!sp_failed(res))
        res = sp_unseal(key_pem, label, sp_buf_str(&sealed), &out->bytes, err);
    sp_buf_fini(&sealed);
    if (!sp_failed(res) && !read_plain(sp_buf_str(&out->bytes), out))
        res = sp_fail(err, SP_E_PARSE, "the cache is not in a format that this version reads");
    if (sp_failed(res))
        dp_cached_fini(out);
    return res;
}

void dp_cached_fini(struct dp_cached *c)
{
    free(c->v);
    sp_buf_wipe(&c->bytes);
    *c = (struct dp_cached){0};
}
