# What `make install` puts where: programs, library, headers, pkg-config file, CMake package, manual pages, completions,
# model, in components: host, library, development, cli. A program that brings its own host needs the first two (`make packages`).
include(CMakePackageConfigHelpers)

install(TARGETS chatbot RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT host)
install(TARGETS lipc lipc_static EXPORT lipc
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/lipc DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES models/tutor.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/lipc/models COMPONENT host)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/chatbot.1.gz" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT host)
if(NOT WIN32)
    install(FILES packaging/chatbot.service DESTINATION lib/systemd/user COMPONENT host)
endif()
if(LIPC_HAS_CLI)
    install(TARGETS llamaipc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cli)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.1.gz" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT cli)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.bash"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME llamaipc COMPONENT cli)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.zsh"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _llamaipc COMPONENT cli)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.fish"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT cli)
endif()
if(LIPC_LLAMA_BUNDLED)
    install(DIRECTORY "${LIPC_LLAMA_FOLDER}/lib/" DESTINATION ${CMAKE_INSTALL_LIBDIR}/lipc COMPONENT host
            FILES_MATCHING PATTERN "lib*.so*" PATTERN cmake EXCLUDE PATTERN pkgconfig EXCLUDE)
endif()

configure_file(cmake/lipc.pc.in lipc.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lipc.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/lipc)
install(EXPORT lipc NAMESPACE lipc:: FILE lipcTargets.cmake DESTINATION ${package_folder} COMPONENT development)
configure_package_config_file(cmake/lipcConfig.cmake.in lipcConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(lipcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lipcConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/lipcConfigVersion.cmake"
        DESTINATION ${package_folder} COMPONENT development)
