# isotope_room(NAME LINKS other-rooms-and-libraries...)
#
# One static library a room, from every .cc below the folder that is not a test. Files named
# *_test.cc become the room's test program, *_gpu_test.cc one beside it. A file named NAME_avx2.cc (avx512, avx512_bf16, amx) is
# compiled for that instruction set; it may be entered only behind a run-time check of the CPU.
function(isotope_room name)
  cmake_parse_arguments(ROOM "" "" "LINKS;TEST_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$|/main\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(gpu_tests ${tests})
  list(FILTER tests EXCLUDE REGEX "_gpu_test\\.cc$")
  list(FILTER gpu_tests INCLUDE REGEX "_gpu_test\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(isotope_${name} STATIC ${sources})
  target_include_directories(isotope_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(isotope_${name} PUBLIC ${ROOM_LINKS})
  isotope_instruction_sets("${sources}")
  if(ISOTOPE_TESTS AND tests)
    isotope_test_program(${name}_test ${name} "${ROOM_TEST_LINKS}" "${tests}")
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
  # Tests that need a GPU, real or emulated: a program of their own, linked to travel to a machine that has one.
  if(ISOTOPE_TESTS AND gpu_tests)
    isotope_test_program(${name}_gpu_test ${name} "${ROOM_TEST_LINKS}" "${gpu_tests}")
    target_link_options(${name}_gpu_test PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()

function(isotope_test_program program room links sources)
  add_executable(${program} ${sources})
  target_link_libraries(${program} PRIVATE isotope_${room} ${links} GTest::gtest_main)
  target_compile_definitions(${program} PRIVATE ISOTOPE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
                                                ISOTOPE_TEST_WORK="${CMAKE_BINARY_DIR}/testdata")
  add_dependencies(${program} testdata)
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
