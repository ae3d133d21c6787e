#include "cli/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "cli/command_tree.h"

namespace isotope::cli {
namespace {

/// Text that groff shows as it is: its escapes and requests lose their meaning.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

/// Lines as they are: examples.
std::string verbatim(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  return fmt::format(".PP\n.nf\n{}\n.fi\n", roff(text));
}

std::string flag_text(const FlagEntry& flag) {
  std::string names;
  for (const std::string& name : flag.names)
    names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(name));
  if (!flag.label.empty()) {
    if (!names.empty()) names += ' ';
    names += fmt::format("\\fI{}\\fR", roff(flag.label));
  }
  return fmt::format(".TP\n{}\n{}\n", names, roff(flag.description));
}

constexpr std::pair<std::string_view, std::string_view> kVariables[] = {
    {"HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE",
     "As huggingface_hub reads them."},
    {"ISOTOPE_API_KEY", "The key of serve."},
    {"ISOTOPE_CACHE", "The folder of compiled kernels (default: ~/.cache/isotope/kernels)."},
    {"ISOTOPE_CLANG, ISOTOPE_HIPRTC_LIBRARY, ISOTOPE_NVRTC_LIBRARY",
     "The compiler of kernels, where it is not the one that is found."},
    {"ISOTOPE_CUDA_LIBRARY, ISOTOPE_HIP_LIBRARY",
     "The driver of the GPU, where it is not the one that is found."},
};

}  // namespace

std::string man_page(const CLI::App& app, const std::string& version) {
  const CommandEntry root = command_tree(app);
  std::string out = fmt::format(
      ".\\\" Made by `isotope man`.\n.TH ISOTOPE 1 \"\" \"isotope {}\" \"User Commands\"\n"
      ".SH NAME\nisotope \\- {}\n.SH SYNOPSIS\n.B isotope\n.I COMMAND\n.RI [ FLAGS ]\n"
      ".SH DESCRIPTION\n{}\n{}.SH OPTIONS\n",
      version, "serve FP8 language models on one device", roff(root.description),
      verbatim(root.footer));
  for (const FlagEntry& flag : root.flags) out += flag_text(flag);
  out += ".SH COMMANDS\n";
  for (const CommandEntry* command : flatten(root)) {
    if (command == &root) continue;
    out += fmt::format(".SS {}\n{}.\n", roff(command->path), roff(command->description));
    for (const FlagEntry& flag : command->flags) out += flag_text(flag);
    if (!command->footer.empty()) out += verbatim(command->footer);
  }
  out +=
      ".SH EXIT STATUS\n0 for success, 1 for an error (named on standard error), 2 for a wrong "
      "command line.\n.SH ENVIRONMENT\n";
  for (const auto& [names, meaning] : kVariables)
    out += fmt::format(".TP\n.B {}\n{}\n", roff(names), roff(meaning));
  return out +
         ".SH SEE ALSO\nThe book in /usr/share/doc/isotope/docs (a package) or "
         "/usr/local/share/doc/isotope/docs.\n";
}

}  // namespace isotope::cli
