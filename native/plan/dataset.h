// Images and labels that a device holds, and the checks of a batch.

#pragma once

#include <vector>

#include "graph/graph.h"
#include "plan/device.h"

namespace mn {

class Dataset {
public:
    Dataset(std::shared_ptr<const Device> device, const mn_dataset_desc& desc);

    const Device& device() const { return *device_; }
    int64_t count() const { return count_; }
    const mn_shape& shape() const { return shape_; }
    int32_t dtype() const { return dtype_; }
    const void* images() const { return images_; }
    const int32_t* labels() const { return labels_; }            // null: none
    const int32_t* host_labels() const { return host_labels_; }  // the same for the host to read

private:
    std::shared_ptr<const Device> device_;
    int32_t dtype_;
    int64_t count_;
    mn_shape shape_;
    const void* images_;
    const int32_t* labels_;
    const int32_t* host_labels_;
    std::vector<int32_t> label_copy_;  // where the host cannot read the device's
    DeviceMemory memory_;              // unless borrowed
};

// A batch whose numbers have been checked. `dataset` keeps alive what `input` points to.
struct CheckedBatch {
    // What feeds one of the network's inputs after the first.
    struct Further {
        mnb_input input{};
        int64_t image_elements = 0;
    };

    // `indices`, and what comes with the batch rather than from a data set, are in host memory.
    mnb_input input{};  // of the first input, with what losses read
    std::vector<Further> further;
    int32_t count = 0;
    int64_t image_elements = 0;            // of the first input
    int64_t target_elements = 0;           // of one image
    const int32_t* host_labels = nullptr;  // input.labels, for the host to read
    std::shared_ptr<const Dataset> dataset;

    // The label of the batch's image `i`.
    int32_t host_label(int32_t i) const {
        return host_labels[input.indices ? input.indices[i] : i];
    }

    // What the network's input `index` reads, starting at image `first`.
    mnb_input from(size_t index, int64_t first) const;
};

// Labels from 0 to classes - 1, or the one that is ignored.
struct LabelNeeds {
    int64_t classes;
    bool ignores;
    int32_t ignore_index;
};

// What the losses need of a batch.
struct BatchNeeds {
    std::vector<LabelNeeds> labels;
    mn_shape output_gradients = {};  // with a rank: a gradient of that shape for each image
    mn_shape targets = {};           // with a rank: values of that shape for each image
};

// Checks a batch for the inputs of a network. `max_batch` 0: any number of images.
CheckedBatch check_batch(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                         const Device& device, const Graph& graph, const BatchNeeds& needs,
                         int32_t max_batch);

}  // namespace mn
