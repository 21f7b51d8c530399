# What `make install` puts where: programs, library, headers, pkg-config file, CMake package, manual pages, completions,
# model. The component "package" is what a program needs that brings its own host: `make packages`.
include(CMakePackageConfigHelpers)

install(TARGETS chatbot RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT package)
install(TARGETS lipc lipc_static EXPORT lipc
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT package ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/lipc DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES models/tutor.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/lipc/models COMPONENT package)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/chatbot.1" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
if(LIPC_HAS_CLI)
    install(TARGETS llamaipc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.1" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.bash"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME llamaipc)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.zsh"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _llamaipc)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/llamaipc.fish"
            DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
if(LIPC_LLAMA_BUNDLED)
    install(DIRECTORY "${LIPC_LLAMA_FOLDER}/lib/" DESTINATION ${CMAKE_INSTALL_LIBDIR}/lipc COMPONENT package
            FILES_MATCHING PATTERN "lib*.so*" PATTERN cmake EXCLUDE PATTERN pkgconfig EXCLUDE)
endif()

configure_file(cmake/lipc.pc.in lipc.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lipc.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/lipc)
install(EXPORT lipc NAMESPACE lipc:: FILE lipcTargets.cmake DESTINATION ${package_folder})
configure_package_config_file(cmake/lipcConfig.cmake.in lipcConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(lipcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/lipcConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/lipcConfigVersion.cmake"
        DESTINATION ${package_folder})
