// A template's source as tokens: text between tags, and the words inside them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::text::jinja {

enum class TokenType {
  data,  ///< text to print as it is
  block_begin,
  block_end,
  variable_begin,
  variable_end,
  name,
  string,
  integer,
  real,
  op,  ///< an operator or punctuation: Token::text says which
  end,
};

struct Token {
  TokenType type = TokenType::end;
  int line = 0;
  std::string
      text;  ///< data, a name, an operator, or the content of a string with its escapes resolved
  std::int64_t integer = 0;
  double real = 0;
};

/// Splits as Jinja does with trim_blocks, lstrip_blocks and without keep_trailing_newline: the
/// newline after a block and white space before a block that begins its line are dropped. Comments
/// and raw blocks are resolved. The last token is `end`. Errors: corrupt_data naming template and
/// line.
std::vector<Token> tokenize(std::string_view source, std::string_view template_name);

}  // namespace isotope::text::jinja
