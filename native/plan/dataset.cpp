#include "plan/dataset.h"

#include <algorithm>
#include <cstring>

namespace mn {
namespace {

int64_t dtype_size(const char* what, int32_t dtype) {
    if (dtype == MN_FLOAT32 || dtype == MN_UINT8) return mn::dtype_size(dtype);
    fail(MN_INVALID_ARGUMENT, "[", what, "] there is no dtype ", dtype);
}

void check_images(const char* what, const void* images, uint64_t bytes, int64_t count,
                  const mn_shape& shape, int32_t dtype) {
    const uint64_t image_bytes =
        static_cast<uint64_t>(element_count(shape) * dtype_size(what, dtype));
    if (!images) fail(MN_INVALID_ARGUMENT, "[", what, "] images must not be null");
    if (bytes % image_bytes || bytes / image_bytes != static_cast<uint64_t>(count))
        fail(MN_SHAPE_MISMATCH, "[", what, "] ", count, " images of ", text_of(shape), " (",
             dtype == MN_UINT8 ? "uint8" : "float32", ") take ", count, " times ", image_bytes,
             " bytes, got ", bytes);
}

// Values that come with the batch: needed if `shape` has a rank, refused otherwise.
void check_values(const char* name, const float* values, uint64_t value_count, int32_t count,
                  const mn_shape& shape) {
    if (shape.rank == 0) {
        if (values)
            fail(MN_INVALID_ARGUMENT, "[batch] ", name, " were given, but no loss reads them");
        return;
    }
    if (!values) fail(MN_INVALID_ARGUMENT, "[batch] ", name, " are needed");
    const uint64_t expected = static_cast<uint64_t>(count * element_count(shape));
    if (value_count != expected)
        fail(MN_SHAPE_MISMATCH, "[batch] ", count, " ", name, " of ", text_of(shape), " are ",
             expected, " values, got ", value_count);
}

void check_labels(const CheckedBatch& batch, const LabelNeeds& needs) {
    if (!batch.input.labels) fail(MN_INVALID_ARGUMENT, "[batch] labels are needed");
    for (int32_t i = 0; i < batch.count; i++) {
        const int32_t at = batch.input.indices ? batch.input.indices[i] : i;
        const int32_t label = batch.host_labels[at];
        if (needs.ignores && label == needs.ignore_index) continue;
        if (label < 0 || label >= needs.classes)
            fail(MN_INVALID_ARGUMENT, "[batch] the label of image ", at, " is ", label,
                 ", outside 0 to ", needs.classes - 1, " (the network has ", needs.classes,
                 " classes)",
                 needs.ignores ? text(" and not the ignored label ", needs.ignore_index)
                               : text("; an ignored label is the loss's ignore_index"));
    }
}

// Bytes are divided by 255, and what is left is no index.
void check_indices(const Graph& graph, const Node& input, int32_t dtype) {
    if (dtype == MN_UINT8 && input.embedding >= 0)
        fail(MN_INVALID_ARGUMENT, graph.node(input.embedding).label(), "takes the values of \"",
             input.name,
             "\" for indices: they must be float32, got bytes "
             "(uint8), which are divided by 255");
}

// What the inputs after the first get. Every one must get something, whatever the losses or outputs
// in question depend on.
void check_further_inputs(const mn_batch& batch, const Graph& graph, CheckedBatch& checked) {
    const std::vector<int32_t>& inputs = graph.inputs();
    if (batch.input_count < 0 || (batch.input_count && !batch.inputs))
        fail(MN_INVALID_ARGUMENT, "[batch] inputs must hold input_count entries, got ",
             batch.input_count);
    checked.further.resize(inputs.size() - 1);
    for (int32_t i = 0; i < batch.input_count; i++) {
        const mn_batch_input& given = batch.inputs[i];
        const auto known = std::find(inputs.begin() + 1, inputs.end(), given.node);
        if (known == inputs.end())
            fail(MN_NOT_FOUND, "[batch] inputs[", i, "] names node ", given.node,
                 given.node == 0 ? ", the first input, which mn_batch::images feeds"
                                 : ", which is no input");
        const Node& node = graph.node(given.node);
        CheckedBatch::Further& further = checked.further[known - inputs.begin() - 1];
        if (further.input.images)
            fail(MN_INVALID_ARGUMENT, "[batch] inputs[", i, "] feeds \"", node.name,
                 "\" a second time");
        check_indices(graph, node, given.dtype);
        const std::string what = text("batch, input \"", node.name, "\"");
        check_images(what.c_str(), given.images, given.images_bytes, batch.count, node.shape,
                     given.dtype);
        further.input.images = given.images;
        further.input.dtype = given.dtype;
        further.image_elements = element_count(node.shape);
    }
    for (size_t i = 1; i < inputs.size(); i++)
        if (!checked.further[i - 1].input.images)
            fail(MN_INVALID_ARGUMENT, "[batch] nothing feeds the input \"",
                 graph.node(inputs[i]).name, "\": inputs needs an entry of node ", inputs[i]);
}

bool same_shape(const mn_shape& a, const mn_shape& b) {
    return a.rank == b.rank && std::memcmp(a.dims, b.dims, a.rank * sizeof a.dims[0]) == 0;
}

}  // namespace

Dataset::Dataset(std::shared_ptr<const Device> device, const mn_dataset_desc& desc)
    : device_(std::move(device)), dtype_(desc.dtype), count_(desc.count), shape_(desc.shape) {
    if (count_ < 1 || count_ > INT32_MAX)
        fail(MN_INVALID_ARGUMENT, "[dataset] count must be 1 to 2^31 - 1, got ", count_);
    if (shape_.rank < 1 || shape_.rank > MN_MAX_VALUE_RANK)
        fail(MN_SHAPE_MISMATCH, "[dataset] rank must be 1 to ", MN_MAX_VALUE_RANK, ", got ",
             shape_.rank);
    double elements = 1;
    for (int i = 0; i < shape_.rank; i++) {
        if (shape_.dims[i] < 1)
            fail(MN_SHAPE_MISMATCH, "[dataset] dimension ", i, " must be at least 1, got ",
                 shape_.dims[i]);
        elements *= static_cast<double>(shape_.dims[i]);
    }
    if (elements > 2147483648.0)
        fail(MN_SHAPE_MISMATCH, "[dataset] ", text_of(shape_),
             " has more than 2^31 elements an image");
    check_images("dataset", desc.images, desc.images_bytes, count_, shape_, dtype_);

    images_ = desc.images;
    host_labels_ = labels_ = desc.labels;
    if (desc.flags & MN_DATASET_BORROW && device_->backend().shares_host_memory) return;
    const int64_t image_bytes = static_cast<int64_t>(desc.images_bytes);
    const int64_t labels_at = (image_bytes + MNB_ALIGNMENT - 1) / MNB_ALIGNMENT * MNB_ALIGNMENT;
    const int64_t label_bytes = labels_ ? count_ * static_cast<int64_t>(sizeof(int32_t)) : 0;
    memory_ = DeviceMemory(device_, labels_at + label_bytes);
    device_->copy_in(memory_.data(), images_, desc.images_bytes);
    images_ = memory_.data();
    if (labels_) {
        int32_t* labels = memory_.at<int32_t>(labels_at);
        device_->copy_in(labels, labels_, static_cast<size_t>(label_bytes));
        labels_ = labels;
        if (device_->backend().shares_host_memory) {
            host_labels_ = labels;
        } else {
            label_copy_.assign(desc.labels, desc.labels + count_);
            host_labels_ = label_copy_.data();
        }
    }
}

mnb_input CheckedBatch::from(size_t index, int64_t first) const {
    mnb_input part = index == 0 ? input : further[index - 1].input;
    const int64_t elements = index == 0 ? image_elements : further[index - 1].image_elements;
    if (part.targets) part.targets += first * target_elements;
    if (part.indices) {
        part.indices += first;
    } else {
        const int64_t size = part.dtype == MN_UINT8 ? 1 : static_cast<int64_t>(sizeof(float));
        part.images = static_cast<const char*>(part.images) + first * elements * size;
        if (part.labels) part.labels += first;
    }
    return part;
}

CheckedBatch check_batch(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                         const Device& device, const Graph& graph, const BatchNeeds& needs,
                         int32_t max_batch) {
    const mn_shape& shape = graph.node(0).shape;
    CheckedBatch checked;
    checked.count = batch.count;
    checked.image_elements = element_count(shape);
    if (batch.count < 1)
        fail(MN_INVALID_ARGUMENT, "[batch] count must be at least 1, got ", batch.count);
    if (max_batch && batch.count > max_batch)
        fail(MN_INVALID_ARGUMENT, "[batch] the plan takes at most ", max_batch, " images, got ",
             batch.count);

    if (dataset) {
        if (batch.images || batch.labels)
            fail(MN_INVALID_ARGUMENT, "[batch] images and labels must be null with a data set");
        if (!batch.indices)
            fail(MN_INVALID_ARGUMENT, "[batch] indices must not be null with a data set");
        if (&dataset->device() != &device)
            fail(MN_INVALID_ARGUMENT, "[batch] the data set is on another device than the model");
        if (!same_shape(dataset->shape(), shape))
            fail(MN_SHAPE_MISMATCH, "[batch] the network takes images of ", text_of(shape),
                 ", the data set holds ", text_of(dataset->shape()));
        for (int32_t i = 0; i < batch.count; i++)
            if (batch.indices[i] < 0 || batch.indices[i] >= dataset->count())
                fail(MN_INVALID_ARGUMENT, "[batch] indices[", i, "] is ", batch.indices[i],
                     ", the data set has ", dataset->count(), " images");
        checked.input = {dataset->images(), batch.indices,          dataset->labels(),
                         dataset->dtype(),  batch.output_gradients, batch.targets};
        checked.host_labels = dataset->host_labels();
        checked.dataset = std::move(dataset);
    } else {
        if (batch.indices) fail(MN_INVALID_ARGUMENT, "[batch] indices need a data set");
        check_images("batch", batch.images, batch.images_bytes, batch.count, shape, batch.dtype);
        checked.input = {batch.images,           nullptr,      batch.labels, batch.dtype,
                         batch.output_gradients, batch.targets};
        checked.host_labels = batch.labels;
    }

    check_indices(graph, graph.node(0), checked.input.dtype);
    check_further_inputs(batch, graph, checked);
    check_values("output_gradients", batch.output_gradients, batch.output_gradient_count,
                 batch.count, needs.output_gradients);
    check_values("targets", batch.targets, batch.target_count, batch.count, needs.targets);
    if (needs.targets.rank) checked.target_elements = element_count(needs.targets);
    for (const LabelNeeds& labels : needs.labels) check_labels(checked, labels);
    return checked;
}

}  // namespace mn
