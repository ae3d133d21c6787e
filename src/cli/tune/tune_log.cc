#include "cli/tune/tune_log.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace isotope::cli {
namespace {

constexpr std::int64_t kMost = std::int64_t(1) << 40;

json::object to_json(const ops::TuningValues& values) {
  json::object object;
  for (const auto& [key, value] : values) object[key] = value;
  return object;
}

DType read_dtype(const JsonFields& fields) {
  const std::string name = fields.string("weight");
  for (const DType dtype : {DType::f32, DType::bf16, DType::f8_e4m3})
    if (name_of(dtype) == name) return dtype;
  fields.wrong("weight", *fields.find("weight"), "f32, bf16 or f8_e4m3");
}

ops::TrialResult read_trial(const json::value& value, const std::string& where) {
  const JsonFields fields(value, where);
  ops::TrialResult trial;
  const JsonFields values = fields.child("values");
  for (const auto& [key, unused] : values.object())
    trial.values.emplace_back(std::string(key), values.integer(key, 0, kMost));
  trial.seconds = fields.number("seconds", 0, 1e9);
  trial.rejected = fields.string("rejected", "");
  return trial;
}

}  // namespace

json::object to_json(const ops::SweepResult& result) {
  json::array trials;
  for (const ops::TrialResult& trial : result.trials) {
    json::object object{{"values", to_json(trial.values)}, {"seconds", trial.seconds}};
    if (!trial.rejected.empty()) object["rejected"] = trial.rejected;
    trials.push_back(std::move(object));
  }
  return {{"name", result.name},
          {"kernel", result.op},
          {"weight", std::string(name_of(result.shape.weight))},
          {"n", result.shape.n},
          {"k", result.shape.k},
          {"rows", result.shape.rows},
          {"bytes", result.bytes},
          {"flops", result.flops},
          {"trials", std::move(trials)}};
}

ops::SweepResult read_sweep_result(const json::value& line, const std::string& where) {
  const JsonFields fields(line, where);
  ops::SweepResult result;
  result.name = fields.string("name");
  result.op = fields.string("kernel");
  result.shape = {read_dtype(fields), fields.integer("n", 0, kMost), fields.integer("k", 0, kMost),
                  fields.integer("rows", 0, kMost)};
  result.bytes = fields.number("bytes", 0, 1e15);
  result.flops = fields.number("flops", 0, 1e18);
  const json::value* trials = fields.find("trials");
  if (!trials) fields.missing("trials");
  if (!trials->is_array() || trials->get_array().empty())
    fields.wrong("trials", *trials, "a list of trials");
  for (const json::value& trial : trials->get_array())
    result.trials.push_back(read_trial(trial, where + ": trials"));
  return result;
}

TuneLog::TuneLog(const std::filesystem::path& path, const json::object& settings, bool fresh) {
  const json::object head = log_head("tune", settings);
  if (!fresh && std::filesystem::exists(path)) {
    bool same = false;
    const std::uintmax_t length = read_log(
        path,
        [&](const json::value& line, const std::string& where) {
          same = JsonFields(line, where).string("settings_sha256", "") ==
                 head.at("settings_sha256").as_string();
        },
        [&](const json::value& line, const std::string& where) {
          if (same) results_.push_back(read_sweep_result(line, where));
        });
    if (same) {
      log_ = ResultLog(path, length);
      return;
    }
  }
  if (std::filesystem::exists(path)) {
    const std::filesystem::path old = path.string() + ".old";
    std::filesystem::rename(path, old);
    log_warning("cli", "{} {}: measured anew; it is kept as {}", path.string(),
                fresh ? "is set aside"
                      : "was measured on another card, with other kernels or with other flags",
                old.string());
  }
  log_ = ResultLog(path, head);
}

bool TuneLog::has(const ops::TuningSpace& space) const {
  return std::any_of(results_.begin(), results_.end(), [&space](const ops::SweepResult& result) {
    return result.op == space.op && result.shape == space.shape;
  });
}

void TuneLog::add(ops::SweepResult result) {
  log_.add(to_json(result));
  results_.push_back(std::move(result));
}

}  // namespace isotope::cli
