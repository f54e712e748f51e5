/* What the tests of src/http share. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

#define assert_str(actual, expected)                                                                                   \
    do {                                                                                                               \
        struct sp_str str_ = (actual);                                                                                 \
        assert_int_equal(str_.len, strlen(expected));                                                                  \
        assert_memory_equal(str_.len ? str_.p : "", expected, str_.len);                                               \
    } while (0)
