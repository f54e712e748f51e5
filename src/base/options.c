#include "base/options.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum source { FROM_DEFAULT, FROM_ENV, FROM_FLAG };

static _Thread_local enum source reading; /* which source the setter is called for: only lists need to know */

sp_result sp_option_text(const struct sp_option *o, const char *value, struct sp_error *err)
{
    (void)err;
    *(const char **)o->to = value;
    return sp_ok();
}

sp_result sp_option_switch(const struct sp_option *o, const char *value, struct sp_error *err)
{
    static const char *const yes[] = {"on", "true", "1", "yes"};
    static const char *const no[] = {"off", "false", "0", "no", ""};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (sp_str_ieq(sp_str_z(value), sp_str_z(yes[i])))
            return *(bool *)o->to = true, sp_ok();
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (sp_str_ieq(sp_str_z(value), sp_str_z(no[i])))
            return *(bool *)o->to = false, sp_ok();
    return sp_fail(err, SP_E_USAGE, "'%s' is neither 'on' nor 'off'", value);
}

sp_result sp_option_u32(const struct sp_option *o, const char *value, struct sp_error *err)
{
    uint64_t max = o->max ? o->max : UINT32_MAX, n;
    if (!sp_str_to_u64(sp_str_z(value), &n))
        return sp_fail(err, SP_E_USAGE, "'%s' is not a whole number", value);
    if (n < o->min || n > max)
        return sp_fail(err, SP_E_USAGE, "%s is not between %llu and %llu", value, (unsigned long long)o->min,
                       (unsigned long long)max);
    *(uint32_t *)o->to = (uint32_t)n;
    return sp_ok();
}

sp_result sp_option_list(const struct sp_option *o, const char *value, struct sp_error *err)
{
    struct sp_option_list *list = o->to;
    struct sp_str rest = sp_str_z(value);
    if (list->source != (int)reading) {
        list->num = 0;
        list->source = (int)reading;
    }
    while (rest.p) {
        struct sp_str item = sp_str_trim(sp_str_split(&rest, ','));
        if (item.len == 0)
            continue;
        if (list->num == SP_OPTION_LIST_MAX)
            return sp_fail(err, SP_E_USAGE, "more than %d values", SP_OPTION_LIST_MAX);
        list->v[list->num++] = item;
    }
    return sp_ok();
}

sp_result sp_option_log_level(const struct sp_option *o, const char *value, struct sp_error *err)
{
    if (!sp_log_level_parse(value, o->to))
        return sp_fail(err, SP_E_USAGE, "'%s' is none of debug, info, notice, warn, error", value);
    return sp_ok();
}

unsigned sp_word_distance(struct sp_str a, struct sp_str b, unsigned max)
{
    enum { LONGEST = 63 };
    unsigned row[LONGEST + 1];
    if (a.len > LONGEST || b.len > LONGEST)
        return max + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned change = diagonal + (sp_lower((unsigned char)a.p[i - 1]) != sp_lower((unsigned char)b.p[j - 1]));
            unsigned add = row[j - 1] + 1, drop = row[j] + 1;
            diagonal = row[j];
            row[j] = change < add ? change : add;
            row[j] = row[j] < drop ? row[j] : drop;
        }
    }
    return row[b.len];
}

void sp_option_env_name(const struct sp_options *o, const struct sp_option *opt, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s_%s", o->env_prefix, opt->name);
    for (char *p = out; n > 0 && *p; p++)
        *p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
}

static const char *env_get(const struct sp_options *o, const char *name)
{
    size_t len = strlen(name);
    if (!o->environ_or_null)
        return getenv(name);
    for (char *const *e = o->environ_or_null; *e; e++)
        if (!strncmp(*e, name, len) && (*e)[len] == '=')
            return *e + len + 1;
    return NULL;
}

static sp_result read_environment(const struct sp_options *o, struct sp_error *err)
{
    char name[128];
    reading = FROM_ENV;
    for (size_t t = 0; t < o->num_tables; t++)
        for (size_t i = 0; i < o->tables[t].num; i++) {
            const struct sp_option *opt = &o->tables[t].v[i];
            if (opt->no_env)
                continue;
            sp_option_env_name(o, opt, name, sizeof name);
            const char *value = env_get(o, name);
            if (value && sp_failed(opt->set(opt, value, err)))
                return sp_fail_in(err, "environment variable %s", name);
        }
    return sp_ok();
}

static const struct sp_option *find(const struct sp_options *o, struct sp_str name, char letter)
{
    for (size_t t = 0; t < o->num_tables; t++)
        for (size_t i = 0; i < o->tables[t].num; i++) {
            const struct sp_option *opt = &o->tables[t].v[i];
            if (letter ? opt->letter == letter : sp_str_eq(sp_str_z(opt->name), name))
                return opt;
        }
    return NULL;
}

static sp_result unknown(const struct sp_options *o, struct sp_str name, struct sp_error *err)
{
    unsigned best = 3;
    const char *like = NULL;
    for (size_t t = 0; t < o->num_tables; t++)
        for (size_t i = 0; i < o->tables[t].num; i++) {
            unsigned d = sp_word_distance(name, sp_str_z(o->tables[t].v[i].name), best);
            if (d < best) {
                best = d;
                like = o->tables[t].v[i].name;
            }
        }
    if (like)
        return sp_fail(err, SP_E_USAGE, "unknown option '--%.*s', did you mean '--%s'?", SP_FMT(name), like);
    return sp_fail(err, SP_E_USAGE, "unknown option '--%.*s'; '%s --help' lists them", SP_FMT(name), o->program);
}

/* One option at argv[*i], with its value there or in the next word. */
static sp_result read_flag(const struct sp_options *o, int argc, char **argv, int *i, struct sp_error *err)
{
    const char *word = argv[*i], *value = NULL;
    bool is_long = word[1] == '-';
    struct sp_str name = sp_str_z(word + (is_long ? 2 : 1));
    const char *equals = is_long ? strchr(word, '=') : NULL;
    if (equals) {
        name.len = (size_t)(equals - name.p);
        value = equals + 1;
    }
    const struct sp_option *opt = find(o, name, is_long ? 0 : word[1]);
    if (!opt)
        return is_long ? unknown(o, name, err)
                       : sp_fail(err, SP_E_USAGE, "unknown option '-%c'; '%s --help' lists them", word[1], o->program);
    if (!is_long && word[2]) {
        if (!opt->arg)
            return sp_fail(err, SP_E_USAGE, "write the options of '%s' one by one", word);
        value = word + 2;
    }
    if (!value && !opt->arg)
        value = "on";
    if (!value && *i + 1 >= argc)
        return sp_fail(err, SP_E_USAGE, "option '--%s' wants a value: --%s %s", opt->name, opt->name, opt->arg);
    if (!value)
        value = argv[++*i];
    if (sp_failed(opt->set(opt, value, err)))
        return sp_fail_in(err, "option '--%s'", opt->name);
    return sp_ok();
}

static bool built_in(const char *word, struct sp_options_seen *seen)
{
    if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        return seen->help = true;
    if (!strcmp(word, "--version") || !strcmp(word, "-V"))
        return seen->version = true;
    return false;
}

static sp_result read_words(const struct sp_options *o, int argc, char **argv, struct sp_options_seen *seen,
                            struct sp_error *err)
{
    bool only_words = false;
    reading = FROM_FLAG;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        seen->next = i + 1;
        if (!only_words && !strcmp(word, "--")) {
            only_words = true;
        } else if (only_words || word[0] != '-' || word[1] == '\0') {
            if (o->stop_at_word && !only_words) {
                seen->next = i;
                return sp_ok();
            }
            seen->words[seen->num_words++] = word;
        } else if (built_in(word, seen)) {
            return sp_ok();
        } else {
            SP_TRY(read_flag(o, argc, argv, &i, err));
            seen->next = i + 1;
        }
    }
    return sp_ok();
}

sp_result sp_options_parse(const struct sp_options *o, int argc, char **argv, struct sp_options_seen *seen,
                           struct sp_error *err)
{
    *seen = (struct sp_options_seen){.next = 1};
    seen->words = sp_alloc(sizeof *seen->words * (size_t)(argc > 0 ? argc : 1));
    /* A broken environment must not keep anybody from reading the help. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0 && !(o->stop_at_word && argv[i][0] != '-'); i++)
        if (built_in(argv[i], seen))
            return sp_ok();
    if (o->env_prefix)
        SP_TRY(read_environment(o, err));
    return read_words(o, argc, argv, seen, err);
}

/* --- help */

static void pad(struct sp_buf *out, size_t n)
{
    while (n-- > 0)
        sp_buf_putc(out, ' ');
}

static void wrap(struct sp_buf *out, struct sp_str text, size_t indent, size_t width)
{
    while (text.p) {
        struct sp_str line = sp_str_split(&text, '\n');
        size_t column = 0;
        while (line.p) {
            struct sp_str word = sp_str_split(&line, ' ');
            if (word.len == 0)
                continue;
            if (column && column + 1 + word.len > width) {
                sp_buf_putc(out, '\n');
                column = 0;
            }
            if (column == 0)
                pad(out, indent);
            else
                sp_buf_putc(out, ' ');
            sp_buf_add(out, word);
            column += word.len + (column ? 1 : 0);
        }
        sp_buf_putc(out, '\n');
    }
}

static void option_help(const struct sp_options *o, const struct sp_option *opt, size_t width, struct sp_buf *out)
{
    char env[128];
    sp_buf_printf(out, "  ");
    if (opt->letter)
        sp_buf_printf(out, "-%c, ", opt->letter);
    sp_buf_printf(out, "--%s%s%s", opt->name, opt->arg ? " " : "", opt->arg ? opt->arg : "");
    if (o->env_prefix && !opt->no_env) {
        sp_option_env_name(o, opt, env, sizeof env);
        sp_buf_printf(out, "   [%s]", env);
    }
    sp_buf_putc(out, '\n');
    wrap(out, sp_str_z(opt->help), 8, width - 8);
}

void sp_options_help(const struct sp_options *o, unsigned width, struct sp_buf *out)
{
    size_t columns = width < 40 ? 100 : width > 120 ? 120 : width;
    sp_buf_printf(out, "usage: %s\n", o->usage);
    if (o->about)
        sp_buf_printf(out, "\n%s\n", o->about);
    for (size_t t = 0; t < o->num_tables; t++) {
        if (o->tables[t].num)
            sp_buf_printf(out, "\n%s:\n", o->tables[t].title ? o->tables[t].title : "Options");
        for (size_t i = 0; i < o->tables[t].num; i++)
            option_help(o, &o->tables[t].v[i], columns, out);
    }
    if (o->env_prefix)
        sp_buf_printf(
            out,
            "\nEach option may also come from the environment variable in brackets: %s_ and its name in upper "
            "case,\n'-' written '_'. A list takes commas there. What is on the command line wins.\n",
            o->env_prefix);
    if (o->epilog)
        sp_buf_printf(out, "\n%s\n", o->epilog);
}
