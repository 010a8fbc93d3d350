// Errors inside the library are exceptions of this type; src/api turns them into a status and a text.
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "nativeopt/nativeopt.h"

#if defined(__GNUC__)
#define NOPT_PRINTF(text_index, first) __attribute__((format(printf, text_index, first)))
#else
#define NOPT_PRINTF(text_index, first)
#endif

namespace nopt {

struct Error {
    nopt_status status;
    char text[512];

    NOPT_PRINTF(3, 4) Error(nopt_status code, const char* format, ...) : status(code) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
    }
};

}  // namespace nopt
