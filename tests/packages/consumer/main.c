#include <nativeopt/nativeopt.h>
#include <stdio.h>

int main(void) {
    printf("NativeOpt %s (%s)\n", nopt_version(), nopt_build_info());
    return nopt_abi_version() == NOPT_ABI_VERSION ? 0 : 1;
}
