# Run by CPack before it packs the tree that `cmake --install` made: what only a Debian package brings.
# The paths below are whole; CPack sets DESTDIR to the same folder, and it would come in front of them.
set(ENV{DESTDIR} "")
set(root "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
set(deploy "${CPACK_ISOTOPE_DEPLOY}")
file(INSTALL "${deploy}/isotope.service" DESTINATION "${root}/usr/lib/systemd/system")
# Keys and tokens may stand there; systemd reads it as root.
file(INSTALL "${deploy}/isotope.default" DESTINATION "${root}/etc/default" RENAME isotope
     PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)
# Of packages, zsh on Debian reads the completions there.
file(MAKE_DIRECTORY "${root}/usr/share/zsh/vendor-completions")
file(RENAME "${root}/usr/share/zsh/site-functions/_isotope" "${root}/usr/share/zsh/vendor-completions/_isotope")
file(REMOVE "${root}/usr/share/zsh/site-functions")
set(doc "${root}/usr/share/doc/isotope")
file(INSTALL "${deploy}/deb/copyright" DESTINATION "${doc}")
file(REMOVE "${doc}/LICENSE")
# Debian wants these compressed, and -n makes equal packages of equal inputs.
file(GLOB pages "${root}/usr/share/man/man1/*.1")
foreach(file ${pages} "${doc}/CHANGELOG.md")
  execute_process(COMMAND gzip -9n "${file}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
file(RENAME "${doc}/CHANGELOG.md.gz" "${doc}/changelog.gz")
