# Libraries from Debian packages; docs/dependencies.md says why each was chosen.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)

# Boost 1.81 is the oldest Debian version with Boost.JSON; its Asio and Beast are header-only.
find_path(BOOST_INCLUDE boost/json.hpp REQUIRED)
find_library(BOOST_JSON_LIBRARY NAMES libboost_json.a REQUIRED)
add_library(isotope_boost_json INTERFACE)
target_include_directories(isotope_boost_json SYSTEM INTERFACE ${BOOST_INCLUDE})
target_link_libraries(isotope_boost_json INTERFACE ${BOOST_JSON_LIBRARY})

find_library(PCRE2_LIBRARY NAMES libpcre2-8.a REQUIRED)
find_library(UTF8PROC_LIBRARY NAMES libutf8proc.a REQUIRED)
find_library(LIBMD_LIBRARY NAMES libmd.a REQUIRED)

# cmake/fmt.cc is for the version of Debian 12; others are compiled with each file that formats.
if(fmt_VERSION VERSION_LESS 10)
  add_library(isotope_fmt STATIC cmake/fmt.cc)
  set_target_properties(isotope_fmt PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(isotope_fmt SYSTEM PUBLIC $<TARGET_PROPERTY:fmt::fmt-header-only,INTERFACE_INCLUDE_DIRECTORIES>)
else()
  add_library(isotope_fmt INTERFACE)
  target_link_libraries(isotope_fmt INTERFACE fmt::fmt-header-only)
endif()

if(ISOTOPE_TESTS)
  find_package(GTest REQUIRED)
endif()

# Line editing in `isotope chat`. libedit needs terminfo, and on Debian libbsd and libmd.
find_path(LIBEDIT_INCLUDE histedit.h REQUIRED)
add_library(isotope_libedit INTERFACE)
target_include_directories(isotope_libedit SYSTEM INTERFACE ${LIBEDIT_INCLUDE})
foreach(archive libedit.a libbsd.a libmd.a libtinfo.a)
  find_library(LIBEDIT_${archive} NAMES ${archive} REQUIRED)
  target_link_libraries(isotope_libedit INTERFACE ${LIBEDIT_${archive}})
endforeach()
