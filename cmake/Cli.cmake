# llamaipc, the channel in a terminal. It needs two libraries of the system's: libedit edits lines, jansson reads and writes
# JSON. Without them everything else is built, and `cli`, the target to build it by, says what is missing.
find_package(PkgConfig QUIET)
set(cli_missing)
if(PkgConfig_FOUND)
    pkg_check_modules(LIPC_JANSSON QUIET IMPORTED_TARGET jansson>=2.13)
    pkg_check_modules(LIPC_LIBEDIT QUIET IMPORTED_TARGET libedit>=3.1)
    if(NOT LIPC_JANSSON_FOUND)
        list(APPEND cli_missing "jansson (libjansson-dev)")
    endif()
    if(NOT LIPC_LIBEDIT_FOUND)
        list(APPEND cli_missing "libedit (libedit-dev)")
    endif()
else()
    set(cli_missing "pkg-config, and with it jansson and libedit (pkg-config libjansson-dev libedit-dev)")
endif()
if(cli_missing)
    list(JOIN cli_missing ", " cli_missing)
    message(WARNING "llamaipc is not built: missing ${cli_missing}. 'make setup' as root installs that.")
    add_custom_target(cli ALL COMMAND ${CMAKE_COMMAND} -E echo "llamaipc is not built: missing ${cli_missing}" VERBATIM)
    set(LIPC_HAS_CLI OFF)
    return()
endif()
set(LIPC_HAS_CLI ON)

# The commands and what is written about them; whether that is a program of its own or the generator of the documentation.
add_library(lipc_cli STATIC
    src/cli/commands.c src/cli/options.c src/cli/docgen.c src/cli/terminal.c src/cli/text.c src/cli/host.c
    src/cli/inspect.c src/cli/interrupt.c src/cli/answer.c src/cli/conversation.c src/cli/line.c
    src/cli/ask.c src/cli/chat.c src/cli/status.c src/cli/load.c src/cli/document.c src/cli/prompt.c src/cli/thoughts.c src/cli/cancel.c src/cli/stop.c
    src/cli/format.c src/cli/screen.c src/cli/top_rows.c src/cli/top.c
    src/cli/doctor.c src/cli/doctor_program.c src/cli/doctor_instances.c src/platform/linux/housekeeping.c src/cli/bench.c src/host/model_path.c)
target_link_libraries(lipc_cli PUBLIC lipc_measure lipc_options lipc_static PkgConfig::LIPC_JANSSON PkgConfig::LIPC_LIBEDIT m)

add_executable(llamaipc src/cli/main.c)
target_link_libraries(llamaipc PRIVATE lipc_cli)

add_executable(llamaipc_docgen src/cli/docgen_main.c)
target_link_libraries(llamaipc_docgen PRIVATE lipc_cli)
set(cli_docgen)
foreach(paper manual bash zsh fish)
    set(file llamaipc.${paper})
    if(paper STREQUAL manual)
        set(file llamaipc.1)
    endif()
    add_custom_command(OUTPUT ${file} COMMAND llamaipc_docgen ${paper} > ${file} DEPENDS llamaipc_docgen)
    list(APPEND cli_docgen ${file})
endforeach()
add_custom_target(cli ALL DEPENDS llamaipc ${cli_docgen})
