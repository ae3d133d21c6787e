// Python's two ways to format: "%s" % values and "{}".format(values).
#pragma once

#include "text/jinja_value.h"

namespace isotope::text::jinja {

/// format % arguments, where a tuple holds several and a dict named ones.
Value format_percent(Runtime& runtime, const Value& format, const Value& arguments);
/// format.format(*positional, **named)
Value format_braces(Runtime& runtime, const Value& format, const Arguments& arguments);

}  // namespace isotope::text::jinja
