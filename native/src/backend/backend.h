// What a backend does. src/api has validated every argument before it calls here.
#pragma once

#include <memory>

#include "nativeopt/nativeopt.h"
#include "rules/rule.h"

namespace nopt {

struct ParamSet;

// What a backend keeps for one parameter set: work partition, device tables.
struct BackendData {
    virtual ~BackendData() = default;
};

class Backend {
public:
    virtual ~Backend() = default;

    // The number of devices, at least 1; throws Error(NOPT_ERROR_UNAVAILABLE) with the reason if there are none.
    virtual int device_count() = 0;
    virtual void device_info(int device, nopt_device_info& info) = 0;

    virtual void* alloc(int device, int64_t bytes) = 0;
    virtual void free(int device, void* memory) = 0;
    virtual void copy(int device, void* destination, const void* source, int64_t bytes, void* stream) = 0;
    virtual void fill_float32(int device, float* destination, int64_t count, float value, void* stream) = 0;
    virtual void* stream_create(int device) = 0;
    virtual void stream_destroy(int device, void* stream) = 0;
    virtual void stream_synchronize(int device, void* stream) = 0;

    // Throws if steps on this device cannot use the address.
    virtual void check_pointer(int device, const void* pointer, const char* role, int64_t tensor) = 0;

    virtual std::unique_ptr<BackendData> create_data(const ParamSet& set) = 0;

    // One step over all tensors of the set; every role of the rule's variant is bound.
    virtual void step(ParamSet& set, int rule, const StepInput& input, void* stream) = 0;
};

// The backend, or an Error that says why it is not there. `device` is checked against its devices.
Backend& backend_for(nopt_backend backend);
Backend& backend_for(nopt_backend backend, int32_t device);

Backend& cpu_backend();
#if defined(NOPT_HAS_CUDA)
Backend& cuda_backend();
#endif

}  // namespace nopt
