#include "build_info.h"
#include "nativeopt/nativeopt.h"

extern "C" {

uint32_t nopt_abi_version(void) { return NOPT_ABI_VERSION; }

const char* nopt_version(void) { return NOPT_BUILD_VERSION; }

const char* nopt_build_info(void) { return NOPT_BUILD_INFO; }

}  // extern "C"
