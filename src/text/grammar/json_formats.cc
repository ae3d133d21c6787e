#include "text/grammar/json_formats.h"

#include <algorithm>
#include <iterator>

namespace isotope::text {
namespace {

// Years from 1000, and no 29th of February: every day that is written exists.
#define ISOTOPE_DATE                                                                  \
  "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12]" \
  "[0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
#define ISOTOPE_TIME \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define ISOTOPE_LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define ISOTOPE_HOST ISOTOPE_LABEL "(\\." ISOTOPE_LABEL "){0,3}"
#define ISOTOPE_DOMAIN "(" ISOTOPE_LABEL "\\.){1,3}[A-Za-z]{2,12}"
#define ISOTOPE_BYTE "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

struct NamedFormat {
  std::string_view name, pattern;
};

constexpr NamedFormat kServed[] = {
    {"date", ISOTOPE_DATE},
    {"time", ISOTOPE_TIME},
    {"date-time", ISOTOPE_DATE "T" ISOTOPE_TIME},
    {"duration",
     "P([0-9]{1,4}W|([0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}D)"
     "(T[0-9]{1,4}H)?|T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|"
     "[0-9]{1,4}S))"},
    {"email", "[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,16}){0,2}@" ISOTOPE_DOMAIN},
    {"hostname", ISOTOPE_HOST},
    {"ipv4", ISOTOPE_BYTE "(\\." ISOTOPE_BYTE "){3}"},
    {"ipv6", "[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){7}"},
    {"uri", "(https?|ftp)://" ISOTOPE_DOMAIN "(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{0,64}){0,8}"
            "(\\?[A-Za-z0-9._~=&-]{0,64})?(#[A-Za-z0-9._~-]{0,64})?"},
    {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
};

constexpr std::string_view kRefused[] = {
    "idn-email", "idn-hostname",          "iri",           "iri-reference", "json-pointer",
    "regex",     "relative-json-pointer", "uri-reference", "uri-template",
};

}  // namespace

StringFormat string_format(std::string_view name) {
  for (const NamedFormat& format : kServed)
    if (format.name == name) return {FormatKind::served, format.pattern};
  const bool refused =
      std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused);
  return {refused ? FormatKind::refused : FormatKind::unknown, {}};
}

}  // namespace isotope::text
