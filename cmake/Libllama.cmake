# Provides two interface targets: lipc_libllama, headers and libraries of the inference library, and lipc_llama_common, the
# C++ library beside it that llama-server is made of (chat templates, parsers, options). Only src/engine/llama/common/ uses
# the latter.
#
# LIPC_LLAMA=auto      an installed one (CMake package, else pkg-config), else prebuilt
#            system    an installed one or nothing
#            prebuilt  the pinned release, fetched once into a cache outside the checkout
#            source    the pinned release, built once into that cache
#
# An installed one is taken if libllama-common is installed beside it. Its headers, which llama.cpp does not install, are
# those of the pinned release if it is of that release, else LIPC_LLAMA_COMMON_HEADERS names them (llama.cpp's common/).
set(LIPC_LLAMA auto CACHE STRING "where libllama comes from: auto, system, prebuilt or source")
set_property(CACHE LIPC_LLAMA PROPERTY STRINGS auto system prebuilt source)
if(NOT LIPC_LLAMA MATCHES "^(auto|system|prebuilt|source)$")
    message(FATAL_ERROR "LIPC_LLAMA is '${LIPC_LLAMA}': expected auto, system, prebuilt or source")
endif()

set(LIPC_LLAMA_COMMON_HEADERS "" CACHE PATH "llama.cpp's common/ folder, for an installed libllama of another release")

add_library(lipc_libllama INTERFACE)
add_library(lipc_llama_common INTERFACE)
target_link_libraries(lipc_llama_common INTERFACE lipc_libllama)
target_compile_features(lipc_llama_common INTERFACE cxx_std_17)
set(LIPC_LLAMA_BUNDLED OFF) # ON: the libraries are ours to install
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/libllama.pin" pinned_release REGEX "^LIBLLAMA_VERSION=")
string(REPLACE "LIBLLAMA_VERSION=" "" pinned_release "${pinned_release}")

# Sets RESULT to the folder that fetch-libllama.sh KIND provides.
function(fetch_libllama kind result)
    execute_process(COMMAND "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../scripts/fetch-libllama.sh" ${kind}
                    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "libllama (${kind}) could not be provided: see above")
    endif()
    set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Takes the installed library TARGET of release VERSION, whose files lie in HINTS, if its libllama-common is there, too.
function(take_installed target version hints)
    find_library(LIPC_LLAMA_COMMON_LIBRARY llama-common HINTS ${hints})
    if(NOT LIPC_LLAMA_COMMON_LIBRARY)
        set(refusal "libllama-common is not installed beside it")
    elseif(LIPC_LLAMA_COMMON_HEADERS)
        set(headers "${LIPC_LLAMA_COMMON_HEADERS}")
    elseif(version VERSION_EQUAL pinned_release)
        fetch_libllama(headers folder)
        set(headers "${folder}/include/common")
    else()
        set(refusal "headers of common are at hand for ${pinned_release} alone: set LIPC_LLAMA_COMMON_HEADERS")
    endif()
    if(refusal)
        if(LIPC_LLAMA STREQUAL "system")
            message(FATAL_ERROR "libllama ${version} is installed, but ${refusal}")
        endif()
        message(STATUS "libllama: ${version} is installed, but ${refusal}")
        return()
    endif()
    message(STATUS "libllama: installed, ${version}")
    target_link_libraries(lipc_libllama INTERFACE ${target})
    target_include_directories(lipc_llama_common SYSTEM INTERFACE "${headers}")
    target_link_libraries(lipc_llama_common INTERFACE "${LIPC_LLAMA_COMMON_LIBRARY}")
    set(taken ON PARENT_SCOPE)
endfunction()

if(LIPC_LLAMA MATCHES "^(auto|system)$")
    find_package(llama CONFIG QUIET)
    if(llama_FOUND)
        take_installed(llama "${llama_VERSION}" "${LLAMA_LIB_DIR}")
    else()
        find_package(PkgConfig QUIET)
        if(PkgConfig_FOUND)
            pkg_check_modules(LIPC_PKG_LLAMA QUIET IMPORTED_TARGET llama)
        endif()
        if(LIPC_PKG_LLAMA_FOUND)
            take_installed(PkgConfig::LIPC_PKG_LLAMA "${LIPC_PKG_LLAMA_VERSION}" "${LIPC_PKG_LLAMA_LIBRARY_DIRS}")
        elseif(LIPC_LLAMA STREQUAL "system")
            message(FATAL_ERROR "no libllama is installed (neither a CMake package nor pkg-config knows one)")
        endif()
    endif()
    if(taken)
        return()
    endif()
endif()

set(kind ${LIPC_LLAMA})
if(WIN32)
    set(kind windows) # the pinned release, cross-built once into that cache
elseif(kind STREQUAL "auto")
    set(kind prebuilt)
endif()
fetch_libllama(${kind} LIPC_LLAMA_FOLDER)
message(STATUS "libllama: ${kind}, in ${LIPC_LLAMA_FOLDER}")
set(LIPC_LLAMA_BUNDLED ON)
if(WIN32)
    file(GLOB libraries "${LIPC_LLAMA_FOLDER}/lib/libllama.dll.a" "${LIPC_LLAMA_FOLDER}/lib/libggml.dll.a"
                        "${LIPC_LLAMA_FOLDER}/lib/libggml-base.dll.a")
    target_include_directories(lipc_llama_common SYSTEM INTERFACE "${LIPC_LLAMA_FOLDER}/include/common")
    target_link_libraries(lipc_llama_common INTERFACE "${LIPC_LLAMA_FOLDER}/lib/libllama-common.dll.a")
    target_include_directories(lipc_libllama SYSTEM INTERFACE "${LIPC_LLAMA_FOLDER}/include")
    target_link_libraries(lipc_libllama INTERFACE ${libraries})
    return()
endif()
# Prebuilt libraries have the release in their names, built ones have not.
file(GLOB libraries "${LIPC_LLAMA_FOLDER}/lib/libllama*.so" "${LIPC_LLAMA_FOLDER}/lib/libggml.so"
                    "${LIPC_LLAMA_FOLDER}/lib/libggml.v*.so" "${LIPC_LLAMA_FOLDER}/lib/libggml-base.so")
list(FILTER libraries EXCLUDE REGEX "libllama-common")
file(GLOB common_library "${LIPC_LLAMA_FOLDER}/lib/libllama-common.so")
target_include_directories(lipc_llama_common SYSTEM INTERFACE "${LIPC_LLAMA_FOLDER}/include/common")
target_link_libraries(lipc_llama_common INTERFACE "${common_library}")
target_include_directories(lipc_libllama SYSTEM INTERFACE "${LIPC_LLAMA_FOLDER}/include")
target_link_libraries(lipc_libllama INTERFACE ${libraries})
# The linker meets libraries that those need (the C++ runtime) and need not look into them.
# The path as DT_RPATH, not DT_RUNPATH: that of LD_LIBRARY_PATH comes behind it, where a foreign libggml-base.so may lie.
target_link_options(lipc_libllama INTERFACE "LINKER:--disable-new-dtags")
target_link_options(lipc_libllama INTERFACE "LINKER:-rpath-link,${LIPC_LLAMA_FOLDER}/lib" "LINKER:--allow-shlib-undefined")
