// Devices and data sets.

#include <thread>

#include "abi/guard.h"
#include "abi/handles.h"

using namespace mn;
using namespace mn::abi;

mn_status mn_device_open(const mn_device_desc* desc, mn_device* device_out) {
    return guard([&] {
        const mn_device_desc d = take(desc, "desc");
        require_flags(d.flags, MN_DEVICE_REFERENCE_KERNELS, "desc->flags");
        require(device_out, "device_out");
        *device_out = HandleTable::instance().make<Device>(d);
    });
}

mn_status mn_device_close(mn_device device) {
    return guard([&] { HandleTable::instance().remove<Device>(device); });
}

mn_status mn_device_describe(mn_device device, mn_device_info* info_out) {
    return guard([&] {
        require_size(info_out, "info_out");
        give(info_out, get<Device>(device)->describe());
    });
}

mn_status mn_device_measure(mn_device device, mn_device_peak* peak_out) {
    return guard([&] {
        require_size(peak_out, "peak_out");
        give(peak_out, get<Device>(device)->measure());
    });
}

mn_status mn_dataset_create(mn_device device, const mn_dataset_desc* desc,
                            mn_dataset* dataset_out) {
    return guard([&] {
        const mn_dataset_desc d = take(desc, "desc");
        require_flags(d.flags, MN_DATASET_BORROW, "desc->flags");
        require(dataset_out, "dataset_out");
        *dataset_out = HandleTable::instance().make<Dataset>(get<Device>(device), d);
    });
}

mn_status mn_dataset_destroy(mn_dataset dataset) {
    return guard([&] {
        const std::shared_ptr<Dataset> object = HandleTable::instance().remove<Dataset>(dataset);
        // Wait for calls in flight: once this returns, the caller may free memory lent with
        // MN_DATASET_BORROW.
        while (object.use_count() > 1) std::this_thread::yield();
    });
}
