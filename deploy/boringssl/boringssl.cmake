# Placeholder until the finder lands: Debian's package.
find_path(BORINGSSL_INCLUDE openssl/base.h PATHS /usr/include/android NO_DEFAULT_PATH REQUIRED)
