# isotope_embed(TARGET SYMBOL GLOB...)
#
# Files below src/ that travel as text inside the binary: TARGET gets a generated source that defines
#   namespace isotope { extern const EmbeddedFiles SYMBOL; }        (base/embedded.h)
# by names relative to src. Written anew when one of them changes or a file is added.
function(isotope_embed target symbol)
  set(patterns ${ARGN})
  list(TRANSFORM patterns PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/src ${patterns})
  list(SORT files)
  set(paths ${files})
  list(TRANSFORM paths PREPEND ${CMAKE_SOURCE_DIR}/src/)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc)
  set(script ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake)
  string(REPLACE ";" "|" list "${files}")
  add_custom_command(OUTPUT ${output} DEPENDS ${paths} ${script}
    COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR}/src -DSYMBOL=${symbol} -DOUTPUT=${output} "-DFILES=${list}" -P ${script}
    COMMENT "Embedding ${symbol}" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
