#include "api/api.h"
#include "cpu/isa.h"
#include "cpu/processors.h"
#include "cpu/thread_pool.h"

using namespace nopt;

extern "C" {

nopt_status nopt_device_count(nopt_backend backend, int32_t* count) {
    return guarded([&] {
        require_not_null(count, "count");
        *count = 0;
        *count = backend_for(backend).device_count();
    });
}

nopt_status nopt_device_get_info(nopt_backend backend, int32_t device_index, nopt_device_info* info) {
    return guarded([&] {
        Backend& found = backend_for(backend, device_index);
        nopt_device_info value = {};
        value.backend = backend;
        value.index = device_index;
        found.device_info(device_index, value);
        write_struct(info, value, "info");
    });
}

int32_t nopt_cpu_isa_count(void) { return cpu_isa_count(); }

nopt_status nopt_cpu_isa_get_info(int32_t index, nopt_cpu_isa_info* info) {
    return guarded([&] {
        if (index < 0 || index >= cpu_isa_count()) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; nopt_cpu_isa_count() is %d", index, cpu_isa_count());
        }
        const CpuIsa& isa = cpu_isa_at(index);
        nopt_cpu_isa_info value = {};
        value.supported = isa.supported();
        value.selected = &isa == &selected_cpu_isa();
        copy_text(value.name, isa.name);
        write_struct(info, value, "info");
    });
}

nopt_status nopt_cpu_set_isa(const char* name) {
    return guarded([&] {
        require_not_null(name, "name");
        select_cpu_isa(name);
    });
}

nopt_status nopt_cpu_set_num_threads(int32_t num_threads) {
    return guarded([&] { nopt::set_num_threads(num_threads); });
}

nopt_status nopt_cpu_get_num_threads(int32_t* num_threads) {
    return guarded([&] {
        require_not_null(num_threads, "num_threads");
        *num_threads = nopt::num_threads();
    });
}

nopt_status nopt_cpu_get_processors(int32_t* available, double* quota) {
    return guarded([&] {
        require_not_null(available, "available");
        require_not_null(quota, "quota");
        *available = processors().available;
        *quota = processors().quota;
    });
}

}  // extern "C"
