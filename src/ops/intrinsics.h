// <immintrin.h> without false alarms: GCC 12 reports its own _mm512_undefined() as a use of an uninitialised variable
// (GCC bug 105593).
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
