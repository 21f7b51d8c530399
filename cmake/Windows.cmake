# What a build for Windows with mingw-w64 needs besides (toolchains/windows-x64.cmake): included before the first target.
add_compile_definitions(_WIN32_WINNT=0x0A00 __USE_MINGW_ANSI_STDIO=1)
# printf is C's here, but the compiler checks formats against that of Microsoft's. The builds on Linux check them.
add_compile_options($<$<COMPILE_LANGUAGE:C>:-Wno-format> $<$<COMPILE_LANGUAGE:C>:-Wno-format-extra-args>)
set(LIPC_WINDOWS_LIBRARIES advapi32 bcrypt ntdll shell32 synchronization)

# Folder that runs when it is copied: programs, libraries and what those need. The model is found two folders up, as in the
# build on Linux, or beside the program.
set(LIPC_WINDOWS_FOLDER "${CMAKE_BINARY_DIR}")

# lipc_windows_program(TARGET) - UTF-8, long paths and what the file's properties show.
function(lipc_windows_program target)
    set(WINDOWS_PROGRAM ${target})
    string(REPLACE "." "," WINDOWS_VERSION "${PROJECT_VERSION}")
    configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/windows/program.rc.in" "${CMAKE_BINARY_DIR}/${target}.rc" @ONLY)
    target_sources(${target} PRIVATE "${CMAKE_BINARY_DIR}/${target}.rc")
    set_source_files_properties("${CMAKE_BINARY_DIR}/${target}.rc" PROPERTIES
        COMPILE_OPTIONS "-I${CMAKE_CURRENT_FUNCTION_LIST_DIR}/windows"
        OBJECT_DEPENDS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/windows/program.manifest")
endfunction()

# lipc_windows_alone(TARGET) - needs no library of the compiler's at run time.
function(lipc_windows_alone target)
    target_link_options(${target} PRIVATE -static)
endfunction()

# The libraries that the host needs, beside it.
function(lipc_windows_copy_libraries target)
    file(GLOB libraries "${LIPC_LLAMA_FOLDER}/bin/*.dll")
    add_custom_command(TARGET ${target} POST_BUILD COMMAND ${CMAKE_COMMAND} -E copy_if_different ${libraries}
                       "${LIPC_WINDOWS_FOLDER}")
endfunction()
