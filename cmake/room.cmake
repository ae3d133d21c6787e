# isotope_room(NAME LINKS other-rooms-and-libraries...)
#
# One static library a room, from every .cc below the folder that is not a test. Files named
# *_test.cc become the room's test program. A file named NAME_avx2.cc (avx512, avx512_bf16, amx) is
# compiled for that instruction set; it may be entered only behind a run-time check of the CPU.
function(isotope_room name)
  cmake_parse_arguments(ROOM "" "" "LINKS;TEST_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$|_fuzz\\.cc$|/main\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(isotope_${name} STATIC ${sources})
  target_include_directories(isotope_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(isotope_${name} PUBLIC ${ROOM_LINKS})
  isotope_instruction_sets("${sources}")
  if(ISOTOPE_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE isotope_${name} ${ROOM_TEST_LINKS} GTest::gtest_main)
    target_compile_definitions(${name}_test PRIVATE ISOTOPE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
                                                    ISOTOPE_TEST_WORK="${CMAKE_BINARY_DIR}/testdata")
    add_dependencies(${name}_test testdata)
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()

set(ISOTOPE_FLAGS_AVX2 -mavx2 -mfma -mf16c -mbmi2)
set(ISOTOPE_FLAGS_AVX512 ${ISOTOPE_FLAGS_AVX2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(ISOTOPE_FLAGS_AVX512_BF16 ${ISOTOPE_FLAGS_AVX512} -mavx512vbmi -mavx512bf16)
set(ISOTOPE_FLAGS_AMX ${ISOTOPE_FLAGS_AVX512_BF16} -mamx-tile -mamx-bf16 -mamx-int8)

function(isotope_instruction_sets sources)
  foreach(source IN LISTS sources)
    foreach(isa AVX2 AVX512 AVX512_BF16 AMX)
      string(TOLOWER ${isa} suffix)
      if(source MATCHES "_${suffix}\\.cc$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${ISOTOPE_FLAGS_${isa}}")
      endif()
    endforeach()
  endforeach()
endfunction()

# Fixtures that are packed in the source tree, unpacked where ISOTOPE_TEST_WORK points.
if(ISOTOPE_TESTS)
  add_custom_target(testdata COMMAND ${CMAKE_SOURCE_DIR}/tools/unpack_fixtures.sh
                                     ${CMAKE_SOURCE_DIR}/tests/data ${CMAKE_BINARY_DIR}/testdata VERBATIM)
endif()
