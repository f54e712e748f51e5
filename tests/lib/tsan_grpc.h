/* gRPC and Abseil are Debian's libraries and not built for the thread sanitizer: what it says of their insides is
 * noise. */
#pragma once

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libgrpc_unsecure.so\ncalled_from_lib:libgpr.so\nrace:libabsl_\nrace:libgrpc_unsecure.so\n"
           "race:libgpr.so\nthread:libgpr.so\nmutex:libabsl_\ndeadlock:libabsl_\n";
}
