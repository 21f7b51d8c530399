# PackagesStrip.cmake - CPack: the libllama that is packaged as it was fetched has symbols that nobody needs to run it.
file(GLOB_RECURSE libraries "${CPACK_TEMPORARY_DIRECTORY}/*.so*")
foreach(library ${libraries})
    if(IS_SYMLINK "${library}")
        continue()
    endif()
    execute_process(COMMAND strip --strip-unneeded "${library}")
endforeach()
