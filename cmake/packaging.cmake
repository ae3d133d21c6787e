# `cmake --install`: the program, its documentation, manual page and completions. `cpack -G DEB`: a Debian package of these with
# the service of deploy/. The target package_files makes what the program itself writes.
include(GNUInstallDirs)

set(generated ${CMAKE_BINARY_DIR}/package)
set(program $<TARGET_FILE:isotope>)
add_custom_command(OUTPUT ${generated}/isotope.1 DEPENDS isotope
  COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
  COMMAND ${program} man > ${generated}/isotope.1
  COMMAND ${program} completions bash > ${generated}/isotope.bash
  COMMAND ${program} completions zsh > ${generated}/isotope.zsh
  COMMAND ${program} completions fish > ${generated}/isotope.fish VERBATIM)
add_custom_target(package_files ALL DEPENDS ${generated}/isotope.1)

install(FILES ${generated}/isotope.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${generated}/isotope.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME isotope)
install(FILES ${generated}/isotope.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _isotope)
install(FILES ${generated}/isotope.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN "*.md" PATTERN "*.png" PATTERN "*.svg")
install(DIRECTORY recipes/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/recipes FILES_MATCHING PATTERN "*.md")

# Licences of what is linked statically, as the build's own packages give them.
foreach(package libboost-json1.81-dev libboost1.81-dev libfmt-dev libcli11-dev libspdlog-dev libpcre2-dev libutf8proc-dev
                libedit-dev libbsd-dev libmd-dev libncurses-dev libtomlplusplus-dev libstdc++-12-dev)
  install(FILES /usr/share/doc/${package}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses RENAME ${package} OPTIONAL)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME isotope)
set(CPACK_PACKAGE_VENDOR "The Isotope authors")
set(CPACK_PACKAGE_CONTACT "The Isotope authors <isotope@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "server for FP8 language models on one device")
set(CPACK_PACKAGE_DESCRIPTION "One program that serves FP8 and BF16 language models over the OpenAI protocol on a CPU, an AMD
gfx1201 or an NVIDIA GPU. Kernels are compiled for the GPU at hand when they are first needed.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/stage_deb.cmake)
set(CPACK_ISOTOPE_DEPLOY ${CMAKE_SOURCE_DIR}/deploy)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "clang-19, lld-19")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/deb/conffiles ${CMAKE_SOURCE_DIR}/deploy/deb/postinst
                                       ${CMAKE_SOURCE_DIR}/deploy/deb/prerm ${CMAKE_SOURCE_DIR}/deploy/deb/postrm)
include(CPack)
