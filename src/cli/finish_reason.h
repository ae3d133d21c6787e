// How an answer ended, as OpenAI's protocol calls it.
#pragma once

#include <string_view>

#include "base/error.h"
#include "engine/request.h"

namespace isotope::cli {

inline std::string_view finish_name(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop:
    case engine::FinishReason::complete:
      return "stop";
    case engine::FinishReason::length:
      return "length";
    case engine::FinishReason::cancelled:
      return "cancelled";
    case engine::FinishReason::timed_out:
      return "timed_out";
    case engine::FinishReason::error:
      return "error";
  }
  assertion_failed("known finish reason", __FILE__, __LINE__);
}

}  // namespace isotope::cli
