#!/usr/bin/env python3
"""The checker is checked: every rule of check.py finds the violation that it is there for, and nothing in a clean tree."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check  # noqa: E402

LAYERS, FENCES = check.read_layers(pathlib.Path(check.__file__).parent / "layers.txt")


class Rules(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def tree(self, **files):
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check.Tree(self.root)

    def one(self, violations, text):
        found = list(violations)
        self.assertEqual(len(found), 1, found)
        self.assertIn(text, found[0])

    def test_a_clean_tree_has_no_violation(self):
        tree = self.tree(src__tls__x_dot_c='#include <openssl/ssl.h>\n#include "tls/x.h"\n#include "base/str.h"\n')
        for violations in (check.check_layers(tree, LAYERS), check.check_fences(tree, FENCES),
                           check.check_banned(tree), check.check_prefixes(tree), check.check_sizes(tree)):
            self.assertEqual(list(violations), [])

    def test_an_edge_that_is_not_drawn(self):
        tree = self.tree(src__base__x_dot_c='\n#include "http/h1.h"\n')
        self.one(check.check_layers(tree, LAYERS), "src/base/x.c:2: src/base may not include \"http/h1.h\"")

    def test_the_data_plane_does_not_know_the_control_plane(self):
        tree = self.tree(src__main_dot_c='#include "control/store/store.h"\n')
        self.one(check.check_layers(tree, LAYERS), "control/store is not in its row")

    def test_generated_messages_need_a_row(self):
        tree = self.tree(src__net__x_dot_h="#include <sallyport/v1/entities.pb-c.h>\n")
        self.one(check.check_layers(tree, LAYERS), "may not include <sallyport")

    def test_an_include_without_its_room(self):
        tree = self.tree(src__base__x_dot_c='#include "str.h"\n')
        self.one(check.check_layers(tree, LAYERS), "not path-qualified")

    def test_what_stands_beside_main_belongs_to_the_program(self):
        tree = self.tree(src__main_dot_c='#include "settings.h"\n#include "proxy/proxy.h"\n', src__settings_dot_h="",
                         control__main_dot_c='#include "control/settings.h"\n', src__proxy__x_dot_c='#include "settings.h"\n')
        self.one(check.check_layers(tree, LAYERS), "src/proxy/x.c:1")

    def test_a_room_without_a_row(self):
        tree = self.tree(src__attic__x_dot_c="")
        self.one(check.check_layers(tree, LAYERS), "src/attic has no row")

    def test_foreign_headers_are_fenced(self):
        tree = self.tree(src__http__x_dot_c="#include <openssl/ssl.h>\n#include <nghttp2/nghttp2.h>\n",
                         control__store__other_dot_c="#include <sqlite3.h>\n")
        found = list(check.check_fences(tree, FENCES))
        self.assertEqual([f.split(":")[0] for f in found], ["control/store/other.c", "src/http/x.c"])

    def test_banned_calls_but_not_in_comments_or_strings(self):
        tree = self.tree(src__base__x_dot_c='/* strcpy( */ const char *s = "atoi("; // gets(\nint n = atoi (s);\n'
                                            "x.gets(1); my_atoi(s); strtok_r(a, b, c);\n")
        self.one(check.check_banned(tree), "src/base/x.c:2: atoi() is banned")

    def test_prefixes(self):
        tree = self.tree(src__proxy__x_dot_c="void dp_fine(void); void cp_wrong(void); int tcp_x;\n",
                         src__tls__x_dot_c="void dp_wrong(void);\n", control__api__x_dot_c="void dp_wrong(void);\n")
        self.assertEqual(sorted(f.split(":")[0] for f in check.check_prefixes(tree)),
                         ["control/api/x.c", "src/proxy/x.c", "src/tls/x.c"])

    def test_long_files_and_functions(self):
        tree = self.tree(src__base__long_dot_c="int f(void)\n{\n" + "    ;\n" * check.MAX_FILE + "    return 0;\n}\n")
        self.one(check.check_sizes(tree), "lines, more than")
        if check.shutil.which("ctags"):
            self.one(check.check_functions(tree), "f() has")

    def test_folders_of_one_machine(self):
        self.tree(docs__x_dot_md="see " + "/wo" + "rk/main/x and build/work/main\n")
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        subprocess.run(["git", "-C", str(self.root), "add", "-A"], check=True)
        self.one(check.check_paths(self.root), "docs/x.md:1")

    def test_two_themes_with_one_number(self):
        folder = self.root / "tests/e2e"
        folder.mkdir(parents=True)
        for name in ("test_10_a.py", "test_20_b.py", "test_20_c.py"):
            (folder / name).touch()
        self.one(check.check_numbers(self.root), "test_20_c.py:1: 20 is the number of test_20_b.py already")

    def test_a_header_that_needs_another(self):
        tree = self.tree(src__base__x_dot_h="size_t f(void);\n", src__base__y_dot_h="#include <stddef.h>\nsize_t g(void);\n")
        build = self.root / "build"
        build.mkdir()
        (build / "compile_commands.json").write_text('[{"command": "cc -Isrc -DX=1 -c x.c"}]')
        self.one(check.check_headers(tree, build), "src/base/x.h:1: does not compile alone")


if __name__ == "__main__":
    unittest.main()
