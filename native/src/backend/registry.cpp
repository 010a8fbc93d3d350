#include "backend/backend.h"
#include "backend/error.h"

namespace nopt {

Backend& backend_for(nopt_backend backend) {
    switch (backend) {
        case NOPT_BACKEND_CPU:
            return cpu_backend();
        case NOPT_BACKEND_CUDA:
#if defined(NOPT_HAS_CUDA)
            return cuda_backend();
#else
            throw Error(NOPT_ERROR_UNAVAILABLE,
                        "this build of NativeOpt has no CUDA backend; build it where nvcc is found "
                        "(-DNATIVEOPT_CUDA=ON) or use NOPT_BACKEND_CPU");
#endif
    }
    throw Error(NOPT_ERROR_INVALID_ARGUMENT, "backend is %d; it must be NOPT_BACKEND_CPU (0) or NOPT_BACKEND_CUDA (1)",
                static_cast<int>(backend));
}

Backend& backend_for(nopt_backend backend, int32_t device) {
    Backend& found = backend_for(backend);
    const int count = found.device_count();
    if (device < 0 || device >= count) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "device_index is %d; the backend has %d device(s), numbered from 0",
                    device, count);
    }
    return found;
}

}  // namespace nopt
