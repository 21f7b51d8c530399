# Provides the interface target lipc_libllama: headers and libraries of the inference library.
#
# LIPC_LLAMA=auto      an installed one (CMake package, else pkg-config), else prebuilt
#            system    an installed one or nothing
#            prebuilt  the pinned release, fetched once into a cache outside the checkout
#            source    the pinned release, built once into that cache
set(LIPC_LLAMA auto CACHE STRING "where libllama comes from: auto, system, prebuilt or source")
set_property(CACHE LIPC_LLAMA PROPERTY STRINGS auto system prebuilt source)
if(NOT LIPC_LLAMA MATCHES "^(auto|system|prebuilt|source)$")
    message(FATAL_ERROR "LIPC_LLAMA is '${LIPC_LLAMA}': expected auto, system, prebuilt or source")
endif()

add_library(lipc_libllama INTERFACE)
set(LIPC_LLAMA_BUNDLED OFF) # ON: the libraries are ours to install

if(LIPC_LLAMA MATCHES "^(auto|system)$")
    find_package(llama CONFIG QUIET)
    if(llama_FOUND)
        message(STATUS "libllama: installed CMake package in ${llama_DIR}")
        target_link_libraries(lipc_libllama INTERFACE llama)
        return()
    endif()
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(LIPC_PKG_LLAMA QUIET IMPORTED_TARGET llama)
        if(LIPC_PKG_LLAMA_FOUND)
            message(STATUS "libllama: installed, from pkg-config, ${LIPC_PKG_LLAMA_VERSION}")
            target_link_libraries(lipc_libllama INTERFACE PkgConfig::LIPC_PKG_LLAMA)
            return()
        endif()
    endif()
    if(LIPC_LLAMA STREQUAL "system")
        message(FATAL_ERROR "no libllama is installed (neither a CMake package nor pkg-config knows one)")
    endif()
endif()

set(kind ${LIPC_LLAMA})
if(kind STREQUAL "auto")
    set(kind prebuilt)
endif()
execute_process(COMMAND "${CMAKE_CURRENT_LIST_DIR}/../scripts/fetch-libllama.sh" ${kind}
                OUTPUT_VARIABLE LIPC_LLAMA_FOLDER OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "libllama (${kind}) could not be provided: see above")
endif()
message(STATUS "libllama: ${kind}, in ${LIPC_LLAMA_FOLDER}")
set(LIPC_LLAMA_BUNDLED ON)
# Prebuilt libraries have the release in their names, built ones have not.
file(GLOB libraries "${LIPC_LLAMA_FOLDER}/lib/libllama*.so" "${LIPC_LLAMA_FOLDER}/lib/libggml.so"
                    "${LIPC_LLAMA_FOLDER}/lib/libggml.v*.so" "${LIPC_LLAMA_FOLDER}/lib/libggml-base.so")
target_include_directories(lipc_libllama SYSTEM INTERFACE "${LIPC_LLAMA_FOLDER}/include")
target_link_libraries(lipc_libllama INTERFACE ${libraries})
# The linker meets libraries that those need (the C++ runtime) and need not look into them.
target_link_options(lipc_libllama INTERFACE "LINKER:-rpath-link,${LIPC_LLAMA_FOLDER}/lib" "LINKER:--allow-shlib-undefined")
