/* Runs a fuzz target over files and folders of a corpus: how every build, with any compiler, replays what was found.
 * With -DSALLYPORT_FUZZ=ON the engine's own main takes its place. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned count;

static void replay_file(const char *path)
{
    struct sp_buf bytes = {0};
    struct sp_error err;
    if (sp_failed(sp_buf_read_file(&bytes, path, 16u << 20, &err))) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    struct sp_str s = sp_buf_str(&bytes);
    uint8_t *exact = malloc(s.len ? s.len : 1); /* so that the sanitizer sees one byte too far */
    memcpy(exact, s.p, s.len);
    LLVMFuzzerTestOneInput(exact, s.len);
    free(exact);
    sp_buf_fini(&bytes);
    count++;
}

static void replay(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        replay_file(file);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs\n", count);
    return count ? 0 : 2;
}
