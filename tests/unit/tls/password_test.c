#include "test.h"

#include "tls/password.h"

#include <stdio.h>
#include <stdlib.h>

#define SALT "MTIzNDU2Nzg"
#define CHEAP "$scrypt$ln=10,r=8,p=1$" SALT "$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA" /* "pw" */
#define KONGS "e2fce1600375ebee2ee55cde3330edb9c8fbbc70" /* "pw" of the consumer CONSUMER */
#define CONSUMER "c0ffee00-0000-4000-8000-000000000001"
#define CHEAP_SHA1 "$scrypt-sha1$ln=10,r=8,p=1$" SALT "$ZiUyxeJgqHnUd4QF9iz8J1hkWufEnRJWgsOQrR13V10"

static struct sp_password read_hash(const char *text)
{
    struct sp_password p;
    if (!sp_password_read(sp_str_z(text), &p))
        fail_msg("%s", text);
    return p;
}

static void writes_back(const struct sp_password *p, const char *text)
{
    struct sp_buf b = {0};
    sp_password_write(p, &b);
    sp_buf_putc(&b, '\0');
    if (text)
        assert_string_equal(sp_buf_str(&b).p, text);
    struct sp_password again = read_hash(sp_buf_str(&b).p);
    assert_memory_equal(&again, p, sizeof again);
    sp_buf_fini(&b);
}

/* RFC 7914 section 12, cut to 32 bytes, and hashes that Python's hashlib made. */
static void known_hashes(void **state)
{
    (void)state;
    const struct {
        const char *hash, *secret;
    } rows[] = {
        {"$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI", "pleaseletmein"},
        {CHEAP, "pw"},
        {CHEAP_SHA1, KONGS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_password p = read_hash(rows[i].hash);
        assert_true(sp_password_matches(&p, sp_str_z(rows[i].secret)));
        assert_false(sp_password_matches(&p, SP_STR("pv")));
        assert_false(sp_password_matches(&p, SP_STR("")));
        writes_back(&p, rows[i].hash);
        assert_int_equal(sp_password_form(sp_str_z(rows[i].hash)), SP_PASSWORD_OURS);
    }
}

static void own_hashes(void **state)
{
    (void)state;
    struct sp_password a, b;
    sp_password_hash(SP_STR("s3cret"), false, &a);
    sp_password_hash(SP_STR("s3cret"), false, &b);
    assert_memory_not_equal(a.salt, b.salt, a.salt_len);
    assert_memory_not_equal(a.hash, b.hash, sizeof a.hash);
    assert_true(a.log_n == 14 && a.r == 8 && a.p == 1 && a.salt_len == 16 && !a.sha1 && !a.local);
    assert_true(sp_password_matches(&a, SP_STR("s3cret")));
    assert_false(sp_password_matches(&a, SP_STR("s3cres")));
    writes_back(&a, NULL);
}

static void others_are_refused(void **state)
{
    (void)state;
#define HASH "$8dnX/yuxrxutNDx0smRETeFQ6FQvY4DdpvWf/OFkhDA"
    const char *bad[] = {
        "$scrypt$",
        "$scrypt$ln=10,r=8,p=1",
        "$scrypt$ln=10,r=8,p=1$",
        "$scrypt$ln=10,r=8,p=1$" SALT,
        "$scrypt$ln=10,r=8,p=1$" SALT "$",
        CHEAP "A",
        CHEAP "=",
        CHEAP "$",
        "$scrypt$ln=10,r=8,p=1$" SALT "=" HASH,
        "$scrypt$ln=10,r=8,p=1$ " SALT HASH,
        "$scrypt$ln=10,r=8,p=1$MTIz" HASH, /* a salt of three bytes */
        "$scrypt$ln=010,r=8,p=1$" SALT HASH,
        "$scrypt$ln=+10,r=8,p=1$" SALT HASH,
        "$scrypt$r=8,ln=10,p=1$" SALT HASH,
        "$scrypt$ln=9,r=8,p=1$" SALT HASH,
        "$scrypt$ln=17,r=1,p=1$" SALT HASH,
        "$scrypt$ln=266,r=8,p=1$" SALT HASH, /* 10 after a wrap */
        "$scrypt$ln=16,r=16,p=1$" SALT HASH, /* 128 MiB */
        "$scrypt$ln=16,r=8,p=3$" SALT HASH,  /* too long */
        "$scrypt$ln=10,r=0,p=1$" SALT HASH,
        "$scrypt$ln=10,r=8,p=0$" SALT HASH,
        "$scrypt$ln=10,r=8,p=255$" SALT HASH,
        "$sha1$" KONGS "0",
        "$sha1$E2fce1600375ebee2ee55cde3330edb9c8fbbc70",
        "$sha1$",
    };
    struct sp_password p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sp_password_read(sp_str_z(bad[i]), &p));
        if (sp_password_form(sp_str_z(bad[i])) != SP_PASSWORD_MALFORMED)
            fail_msg("%s", bad[i]);
    }
    const char *plain[] = {"",           "s3cret",           KONGS, "$", "$2y$10$abcdefghijk", "$Scrypt$x",
                           " $scrypt$x", "$local$" SALT HASH};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        assert_int_equal(sp_password_form(sp_str_z(plain[i])), SP_PASSWORD_PLAIN);
    for (size_t i = 0; i < strlen(CHEAP); i++)
        assert_false(sp_password_read(sp_str(CHEAP, i), &p));
}

static void hashes_of_kong(void **state)
{
    (void)state;
    char digits[SP_KONG_HASH + 1];
    sp_kong_hash(SP_STR("pw"), SP_STR(CONSUMER), digits);
    assert_string_equal(digits, KONGS);
    assert_true(sp_is_kong_hash(SP_STR(KONGS)));
    assert_false(sp_is_kong_hash(sp_str(KONGS, 39)));
    assert_int_equal(sp_password_form(SP_STR("$sha1$" KONGS)), SP_PASSWORD_KONGS);
    assert_true(sp_str_eq(sp_password_kong_digits(SP_STR("$sha1$" KONGS)), SP_STR(KONGS)));
}

static void cheap_form(void **state)
{
    (void)state;
    struct sp_password a, b, c;
    sp_password_seal(SP_STR("one"), SP_STR("s3cret"), false, &a);
    sp_password_seal(SP_STR("one"), SP_STR("s3cret"), false, &b);
    sp_password_seal(SP_STR("two"), SP_STR("s3cret"), false, &c);
    assert_memory_equal(&a, &b, sizeof a); /* a reload changes nothing */
    assert_memory_not_equal(a.hash, c.hash, sizeof a.hash);
    assert_true(sp_password_matches(&a, SP_STR("s3cret")));
    assert_true(sp_password_matches(&c, SP_STR("s3cret")));
    assert_false(sp_password_matches(&a, SP_STR("s3cret ")));
    writes_back(&a, NULL);
    sp_password_seal(SP_STR("one"), SP_STR(KONGS), true, &a);
    assert_true(sp_password_matches(&a, SP_STR(KONGS)));
    writes_back(&a, NULL);
}

/* Everything that makes another fact makes another fingerprint. */
static void fingerprints(void **state)
{
    (void)state;
    struct sp_password p = read_hash(CHEAP), other = p, longer = p;
    uint8_t first[32], again[32], all[6][32];
    other.hash[31] ^= 1;
    longer.salt_len++;
    sp_password_fingerprint(SP_STR("a"), &p, SP_STR("bc"), first);
    sp_password_fingerprint(SP_STR("a"), &p, SP_STR("bc"), again);
    assert_memory_equal(first, again, 32);
    sp_password_fingerprint(SP_STR("b"), &p, SP_STR("bc"), all[0]);
    sp_password_fingerprint(SP_STR("a"), &p, SP_STR("bd"), all[1]);
    sp_password_fingerprint(SP_STR("a"), &other, SP_STR("bc"), all[2]);
    sp_password_fingerprint(SP_STR("a"), &longer, SP_STR("bc"), all[3]);
    sp_password_fingerprint(SP_STR("ab"), &p, SP_STR("c"), all[4]);
    sp_password_fingerprint(SP_STR(""), &p, SP_STR("abc"), all[5]);
    for (size_t i = 0; i < 6; i++)
        assert_memory_not_equal(first, all[i], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),   cmocka_unit_test(own_hashes), cmocka_unit_test(others_are_refused),
        cmocka_unit_test(hashes_of_kong), cmocka_unit_test(cheap_form), cmocka_unit_test(fingerprints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
