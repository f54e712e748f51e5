# Gives boringssl::ssl and boringssl::crypto (headers as SYSTEM) and, to whatever links them, SP_BORINGSSL_NAME, the text
# that `sallyport --version` prints. Looked for in this order:
#   1. -DBORINGSSL_ROOT=DIR       any build or install of BoringSSL; an error if it is not one
#   2. the pinned boring-sys crate  ./build fetches it with cargo and builds it once into a cache
#   3. Debian's android-libboringssl-dev, with a warning: it is from 2022, built small, and slow
# -DSALLYPORT_BORINGSSL=crate or =debian takes only that one.
set(BORINGSSL_ROOT "" CACHE PATH "A build or install of BoringSSL to use instead of the pinned one")
set(SALLYPORT_BORINGSSL "auto" CACHE STRING "auto, crate or debian; BORINGSSL_ROOT wins")
set_property(CACHE SALLYPORT_BORINGSSL PROPERTY STRINGS auto crate debian)

# sp_boringssl_in(DIR): sets SP_BSSL_INCLUDE, SP_BSSL_SSL and SP_BSSL_CRYPTO if DIR is a build or an install
function(sp_boringssl_in dir)
  set(lib_dirs lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE} . ssl crypto build build/ssl build/crypto)
  find_path(include openssl/base.h PATHS ${dir} ${dir}/.. PATH_SUFFIXES include src/include NO_DEFAULT_PATH NO_CACHE)
  find_library(ssl NAMES libssl.a ssl PATHS ${dir} PATH_SUFFIXES ${lib_dirs} NO_DEFAULT_PATH NO_CACHE)
  find_library(crypto NAMES libcrypto.a crypto PATHS ${dir} PATH_SUFFIXES ${lib_dirs} NO_DEFAULT_PATH NO_CACHE)
  set(api "")
  if(include)
    file(STRINGS ${include}/openssl/base.h api REGEX "^#define[ \t]+(OPENSSL_IS_BORINGSSL|BORINGSSL_API_VERSION)")
  endif()
  if(ssl AND crypto AND api MATCHES "OPENSSL_IS_BORINGSSL")
    set(SP_BSSL_INCLUDE ${include} PARENT_SCOPE)
    set(SP_BSSL_SSL ${ssl} PARENT_SCOPE)
    set(SP_BSSL_CRYPTO ${crypto} PARENT_SCOPE)
  endif()
endfunction()

set(SP_BSSL_INCLUDE "")
if(BORINGSSL_ROOT)
  get_filename_component(root "${BORINGSSL_ROOT}" ABSOLUTE BASE_DIR ${CMAKE_BINARY_DIR})
  sp_boringssl_in(${root})
  if(NOT SP_BSSL_INCLUDE)
    message(FATAL_ERROR "BORINGSSL_ROOT=${BORINGSSL_ROOT} is no build or install of BoringSSL: it needs "
                        "include/openssl/base.h (of BoringSSL, not OpenSSL), and libssl and libcrypto in it, lib/ or build/.")
  endif()
  set(SP_BSSL_NAME "BoringSSL (BORINGSSL_ROOT)")
endif()

if(NOT SP_BSSL_INCLUDE AND NOT SALLYPORT_BORINGSSL STREQUAL "debian")
  message(STATUS "BoringSSL: the pinned boring-sys crate; the first time it is fetched and built, about a minute")
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/build OUTPUT_VARIABLE built OUTPUT_STRIP_TRAILING_WHITESPACE
                  RESULT_VARIABLE failed)
  if(NOT failed)
    sp_boringssl_in("${built}")
    file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/Cargo.toml version REGEX "^boring-sys = ")
    string(REGEX MATCH "[0-9]+\\.[0-9.]*[0-9]" version "${version}")
    set(SP_BSSL_NAME "BoringSSL (boring-sys ${version}, pinned)")
  elseif(SALLYPORT_BORINGSSL STREQUAL "crate")
    message(FATAL_ERROR "deploy/boringssl/build failed; what it said stands above.")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/build
               ${CMAKE_CURRENT_LIST_DIR}/Cargo.toml ${CMAKE_CURRENT_LIST_DIR}/Cargo.lock)
endif()

if(NOT SP_BSSL_INCLUDE)
  set(SP_BSSL_INCLUDE "")
  find_path(SP_BSSL_DEBIAN openssl/base.h PATHS /usr/include/android NO_DEFAULT_PATH)
  set(libs /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android)
  if(SP_BSSL_DEBIAN AND EXISTS ${libs}/libssl.so AND EXISTS ${libs}/libcrypto.so)
    set(SP_BSSL_INCLUDE ${SP_BSSL_DEBIAN})
    set(SP_BSSL_SSL ${libs}/libssl.so)
    set(SP_BSSL_CRYPTO ${libs}/libcrypto.so)
    set(SP_BSSL_NAME "BoringSSL (Debian android-libboringssl-dev, 2022: old and slow)")
    message(WARNING "BoringSSL: falling back to Debian's android-libboringssl-dev. It is from 2022 and built small: "
                    "P-256 signing takes 2.5 times as long. Good enough to try the product, not to run it. For the pinned one install cargo "
                    "(deploy/install-deps does) and configure again.")
  else()
    message(FATAL_ERROR "No BoringSSL: the pinned one could not be built (see above) and Debian's "
                        "android-libboringssl-dev is not installed. Run deploy/install-deps, or give -DBORINGSSL_ROOT=DIR.")
  endif()
endif()

message(STATUS "BoringSSL: ${SP_BSSL_NAME} in ${SP_BSSL_SSL}")
add_library(boringssl_crypto INTERFACE)
add_library(boringssl::crypto ALIAS boringssl_crypto)
target_include_directories(boringssl_crypto SYSTEM INTERFACE ${SP_BSSL_INCLUDE})
target_compile_definitions(boringssl_crypto INTERFACE SP_BORINGSSL_NAME="${SP_BSSL_NAME}")
target_link_libraries(boringssl_crypto INTERFACE ${SP_BSSL_CRYPTO} Threads::Threads)
add_library(boringssl_ssl INTERFACE)
add_library(boringssl::ssl ALIAS boringssl_ssl)
target_link_libraries(boringssl_ssl INTERFACE ${SP_BSSL_SSL} boringssl_crypto)
if(SP_BSSL_SSL MATCHES "\\.so$")
  get_filename_component(libs ${SP_BSSL_SSL} DIRECTORY)
  target_link_options(boringssl_ssl INTERFACE -Wl,-rpath,${libs})
endif()
