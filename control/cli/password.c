/* sallyctl password: a hash to write into a file instead of the password. */
#include "tls/password.h"
#include "control/cli/cli.h"
#include <termios.h>
#include <unistd.h>

/* One line, not shown where somebody types it. False: nothing, or too long. */
static bool read_line(struct cp_cli *cli, char *line, size_t size, struct sp_str *out)
{
    struct termios old, quiet;
    bool typed = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
    if (typed) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        fprintf(cli->err, "Password: ");
    }
    bool read = fgets(line, (int)size, stdin) != NULL;
    if (typed) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fprintf(cli->err, "\n");
    }
    *out = sp_str_z(read ? line : "");
    if (out->len && line[out->len - 1] == '\n')
        out->len--;
    return out->len > 0 && out->len <= SP_PASSWORD_MAX;
}

static int run(struct cp_cli *cli, const char **words, size_t num)
{
    char line[SP_PASSWORD_MAX + 3];
    struct sp_str secret;
    (void)words;
    if (num)
        return cp_usage(cli, "password", "the password comes on standard input, not as a word that others can see");
    bool good = read_line(cli, line, sizeof line, &secret);
    if (good) {
        struct sp_password p;
        struct sp_buf b = {0};
        sp_password_hash(secret, false, &p);
        sp_password_write(&p, &b);
        fprintf(cli->out, "%.*s\n", SP_FMT(sp_buf_str(&b)));
        sp_buf_fini(&b);
    } else {
        fprintf(cli->err, "sallyctl: no password of 1 to %d bytes came on standard input\n", SP_PASSWORD_MAX);
    }
    sp_wipe(line, sizeof line);
    return good ? CP_EXIT_OK : CP_EXIT_FAILED;
}

const struct cp_command cp_command_password = {
    .name = "password",
    .usage = "sallyctl password",
    .summary = "hash a password for basic-auth",
    .about = "Reads one line and prints its hash, to be the password of a basicauth_credential. A file with hashes may "
             "lie in a\n"
             "repository, and costs nothing to apply.\n\n"
             "  sallyctl password\n"
             "  pass show gateway/alice | sallyctl password",
    .run = run,
};
