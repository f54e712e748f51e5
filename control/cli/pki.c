/* sallyctl pki init, pki issue: the cluster's own CA and certificates under it, so that a first hybrid run needs no
 * openssl incantation. */
#include "tls/pki.h"
#include "base/clock.h"
#include "base/json.h"
#include "control/cli/cli.h"
#include "net/address.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PEM = 1 << 20, MAX_SANS = SP_OPTION_LIST_MAX + 4, MAX_DAYS = 36500, BACKDATE_S = 300 };

static struct {
    const char *dir, *name, *role, *organization;
    uint32_t days;
    struct sp_option_list sans;
    bool force;
} set;

static const char *dir(void)
{
    return set.dir ? set.dir : "pki";
}

static struct sp_str path(struct cp_cli *cli, const char *name, const char *suffix)
{
    return sp_arena_printf(cli->arena, "%s/%s%s", dir(), name, suffix);
}

/* --- files */

static sp_result refuse_existing(const char *at, struct sp_error *err)
{
    if (!set.force && access(at, F_OK) == 0)
        return sp_fail(err, SP_E_CONFLICT, "%s exists already; --force replaces it", at);
    return sp_ok();
}

static sp_result make_dir(struct sp_error *err)
{
    if (mkdir(dir(), 0700) != 0 && errno != EEXIST)
        return sp_fail_errno(err, errno, "cannot make the folder %s", dir());
    return sp_ok();
}

/* The key first: a certificate without its key would be of no use, and would be in the way of the next try. */
static sp_result write_pair(struct cp_cli *cli, const char *name, const struct sp_buf *cert, const struct sp_buf *key,
                            struct sp_error *err)
{
    SP_TRY(make_dir(err));
    SP_TRY(sp_write_file(path(cli, name, ".key").p, sp_buf_str(key), 0600, err));
    return sp_write_file(path(cli, name, ".pem").p, sp_buf_str(cert), 0644, err);
}

static sp_result issue(struct cp_cli *cli, const char *name, const struct sp_pki_request *r, struct sp_str ca_cert,
                       struct sp_str ca_key, struct sp_error *err)
{
    struct sp_buf cert = {0}, key = {0};
    SP_TRY(refuse_existing(path(cli, name, ".key").p, err));
    SP_TRY(refuse_existing(path(cli, name, ".pem").p, err));
    sp_result result = sp_pki_issue(r, ca_cert, ca_key, &cert, &key, err);
    if (!sp_failed(result))
        result = write_pair(cli, name, &cert, &key, err);
    sp_buf_fini(&cert);
    sp_buf_wipe(&key);
    return result;
}

/* -o json, -o yaml: where it went. */
static bool print_pair(struct cp_cli *cli, const char *name)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_str(&j, "certificate", path(cli, name, ".pem"));
    sp_json_put_str(&j, "key", path(cli, name, ".key"));
    sp_json_end_object(&j);
    bool printed = cp_print_json(cli, sp_buf_str(&b));
    sp_buf_fini(&b);
    return printed;
}

static void set_validity(struct sp_pki_request *r, uint32_t days)
{
    int64_t now = sp_clock_wall_s(&sp_clock_system);
    r->not_before = now - BACKDATE_S; /* clocks differ a little */
    r->not_after = now + (int64_t)days * 86400;
}

/* --- init */

static const struct sp_option init_options[] = {
    {"dir", 0, "DIR", sp_option_text, &set.dir, .help = "folder of ca.pem and ca.key. Default: pki"},
    {"name", 0, "NAME", sp_option_text, &set.name, .no_env = true,
     .help = "common name of the CA. Default: Sallyport cluster CA"},
    {"days", 0, "N", sp_option_u32, &set.days, .no_env = true, .min = 1, .max = MAX_DAYS,
     .help = "how long it is valid. Default: 3650"},
    {"force", 0, NULL, sp_option_switch, &set.force, .no_env = true,
     .help = "replace what is there; every certificate under the old CA becomes worthless"},
};

static int run_init(struct cp_cli *cli, const char **words, size_t num)
{
    struct sp_pki_request r = {.common_name = set.name ? set.name : "Sallyport cluster CA", .is_ca = true};
    struct sp_error err;
    (void)words;
    if (num)
        return cp_usage(cli, "pki init", "one word too many");
    set_validity(&r, set.days ? set.days : 3650);
    if (sp_failed(issue(cli, "ca", &r, SP_STR(""), SP_STR(""), &err)))
        return cp_fail(cli, &err);
    if (print_pair(cli, "ca"))
        return CP_EXIT_OK;
    fprintf(cli->out,
            "%s/ca.pem  the CA certificate: give it to every control plane and data plane\n"
            "%s/ca.key  its key: keep it off the machines; who has it can join the cluster\n",
            dir(), dir());
    return CP_EXIT_OK;
}

const struct cp_command cp_command_pki_init = {
    "pki init",
    "sallyctl pki init [--dir DIR]",
    "make a CA for the cluster",
    "Makes ca.pem and ca.key (mode 0600). Next:\n\n"
    "  sallyctl pki issue --role control --name control\n"
    "  sallyctl pki issue --role node --name gateway-1",
    {"Options", init_options, sizeof init_options / sizeof *init_options},
    &set,
    sizeof set,
    run_init,
};

/* --- issue */

static const struct sp_option issue_options[] = {
    {"name", 0, "NAME", sp_option_text, &set.name, .no_env = true,
     .help = "common name, and the names of the files: NAME.pem, NAME.key"},
    {"role", 0, "ROLE", sp_option_text, &set.role, .no_env = true,
     .help =
         "control (a control plane's listener for data planes), node (a data plane), server, client. Default: node"},
    {"san", 0, "SAN", sp_option_list, &set.sans, .no_env = true,
     .help =
         "more names: DNS:name, IP:address, URI:spiffe://..., email:a@b; a bare name is DNS or IP. May be repeated"},
    {"org", 0, "NAME", sp_option_text, &set.organization, .no_env = true, .help = "organization in the subject"},
    {"dir", 0, "DIR", sp_option_text, &set.dir, .help = "folder of the CA, and of what is made. Default: pki"},
    {"days", 0, "N", sp_option_u32, &set.days, .no_env = true, .min = 1, .max = MAX_DAYS,
     .help = "how long it is valid. Default: 365"},
    {"force", 0, NULL, sp_option_switch, &set.force, .no_env = true, .help = "replace what is there"},
};

static struct sp_str typed_san(struct cp_cli *cli, struct sp_str san)
{
    static const char *const types[] = {"DNS:", "IP:", "URI:", "email:"};
    struct sp_address ip;
    for (size_t i = 0; i < 4; i++)
        if (sp_str_starts(san, sp_str_z(types[i])))
            return san;
    return sp_arena_printf(cli->arena, "%s%.*s", sp_address_parse_ip(san, 0, &ip) ? "IP:" : "DNS:", SP_FMT(san));
}

static bool is_dns_name(const char *name)
{
    for (const char *p = name; *p; p++) {
        unsigned char c = sp_lower((unsigned char)*p);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

/* What the role means: which side of TLS it takes, and under which names it is met. */
static bool apply_role(struct cp_cli *cli, struct sp_pki_request *r, struct sp_str *sans)
{
    const char *role = set.role ? set.role : "node";
    bool control = !strcmp(role, "control"), node = !strcmp(role, "node");
    r->server_auth = control || !strcmp(role, "server");
    r->client_auth = node || !strcmp(role, "client");
    if (!r->server_auth && !r->client_auth)
        return false;
    r->sans = sans;
    if (is_dns_name(set.name) && strcmp(role, "client") != 0)
        sans[r->num_sans++] = sp_arena_printf(cli->arena, "DNS:%s", set.name);
    if (control) { /* data planes on the same machine */
        sans[r->num_sans++] = SP_STR("DNS:localhost");
        sans[r->num_sans++] = SP_STR("IP:127.0.0.1");
    }
    for (size_t i = 0; i < set.sans.num; i++)
        sans[r->num_sans++] = typed_san(cli, set.sans.v[i]);
    return true;
}

static int issue_under_ca(struct cp_cli *cli, const struct sp_pki_request *r)
{
    struct sp_buf ca_cert = {0}, ca_key = {0};
    struct sp_error err;
    sp_result result = sp_buf_read_file(&ca_cert, path(cli, "ca", ".pem").p, MAX_PEM, &err);
    if (!sp_failed(result))
        result = sp_buf_read_file(&ca_key, path(cli, "ca", ".key").p, MAX_PEM, &err);
    if (sp_failed(result)) {
        fprintf(cli->err, "sallyctl: %s\nIs there a CA in %s? 'sallyctl pki init --dir %s' makes one.\n", err.text,
                dir(), dir());
    } else {
        result = issue(cli, set.name, r, sp_buf_str(&ca_cert), sp_buf_str(&ca_key), &err);
        if (sp_failed(result))
            cp_fail(cli, &err);
    }
    sp_buf_fini(&ca_cert);
    sp_buf_wipe(&ca_key);
    return sp_failed(result) ? CP_EXIT_FAILED : CP_EXIT_OK;
}

static int run_issue(struct cp_cli *cli, const char **words, size_t num)
{
    struct sp_str sans[MAX_SANS];
    struct sp_pki_request r = {.common_name = set.name, .organization = set.organization};
    (void)words;
    if (num)
        return cp_usage(cli, "pki issue", "one word too many: the name goes behind --name");
    if (!set.name || !*set.name)
        return cp_usage(cli, "pki issue", "for whom? --name NAME");
    if (strchr(set.name, '/') || set.name[0] == '.' || !strcmp(set.name, "ca"))
        return cp_usage(cli, "pki issue",
                        "--name %s: it names the files, so it takes no '/', no leading '.', and not 'ca'", set.name);
    if (!apply_role(cli, &r, sans))
        return cp_usage(cli, "pki issue", "--role %s is none of control, node, server, client", set.role);
    set_validity(&r, set.days ? set.days : 365);
    int code = issue_under_ca(cli, &r);
    if (code == CP_EXIT_OK && !print_pair(cli, set.name))
        fprintf(cli->out, "%s/%s.pem\n%s/%s.key\n", dir(), set.name, dir(), set.name);
    return code;
}

const struct cp_command cp_command_pki_issue = {
    "pki issue",
    "sallyctl pki issue --name NAME [--role control|node|server|client] [--san SAN] [--dir DIR]",
    "make a certificate under it",
    "Writes NAME.pem and NAME.key (mode 0600) beside the CA.\n\n"
    "  sallyctl pki issue --role control --name control --san control.example.com\n"
    "  sallyctl pki issue --role node --name gateway-1",
    {"Options", issue_options, sizeof issue_options / sizeof *issue_options},
    &set,
    sizeof set,
    run_issue,
};
