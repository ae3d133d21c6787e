// A flag with a fixed set of words, one for each value of an enum.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace isotope::cli {

/// `choices` must outlive the command; its words stand in the help.
template <typename T>
void add_choice(CLI::App& command, const std::string& name, T& target,
                const std::map<std::string, T>& choices, const std::string& help) {
  std::string names;
  for (const auto& [key, value] : choices) names += (names.empty() ? "" : "|") + key;
  command
      .add_option_function<std::string>(
          name, [&target, &choices](const std::string& key) { target = choices.at(key); }, help)
      ->check(CLI::IsMember(choices).description(""))  // the type's name says the same
      ->type_name(names);
}

}  // namespace isotope::cli
