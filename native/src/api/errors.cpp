#include "api/api.h"

namespace nopt {
namespace {
thread_local char last_error[sizeof(Error::text)] = "";
}

void set_last_error(const char* text) noexcept { copy_text(last_error, text); }
}  // namespace nopt

extern "C" const char* nopt_last_error_message(void) { return nopt::last_error; }
