// Models and trainers.

#include "abi/guard.h"
#include "abi/handles.h"
#include "graph/moments.h"

using namespace mn;
using namespace mn::abi;

namespace {

std::shared_ptr<const Dataset> dataset_of(const mn_batch& batch) {
    return batch.dataset ? get<Dataset>(batch.dataset) : nullptr;
}

// `inputs` holds those of a caller of another version.
mn_batch take_batch(const mn_batch* batch, std::vector<mn_batch_input>& inputs) {
    mn_batch b = take(batch, "batch");
    if (b.inputs) b.inputs = take_array(b.inputs, b.input_count, "batch->inputs[i]", inputs);
    return b;
}

// Of a model or a trainer.
template <typename T>
void give_profile(T& object, const mn_batch* batch, mn_profile_entry* entries, int32_t entry_count,
                  int32_t* count_out) {
    require(count_out, "count_out");
    const int32_t count = object.profile_size();
    if (entries) {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        if (entry_count != count)
            fail(MN_INVALID_ARGUMENT, "entry_count must be ", count, ", got ", entry_count);
        require_sizes(entries, count, "entries[i]");
        auto* to = reinterpret_cast<unsigned char*>(entries);
        const uint32_t size = size_of(entries);
        for (const ProfileEntry& made : object.profile(b, dataset_of(b))) {
            mn_profile_entry entry{};
            entry.node = made.node;
            entry.direction = made.direction;
            entry.seconds = made.seconds;
            entry.flops = made.flops;
            entry.bytes = made.bytes;
            copy_name(entry.name, made.name);
            copy_name(entry.op, made.op);
            copy_name(entry.kernel, made.kernel);
            give(reinterpret_cast<mn_profile_entry*>(to), entry);
            to += size;
        }
    }
    *count_out = count;
}

}  // namespace

mn_status mn_model_create(mn_device device, mn_graph graph, const mn_model_desc* desc,
                          mn_model* model_out) {
    return guard([&] {
        const mn_model_desc d = take(desc, "desc");
        require_flags(d.flags, MN_MODEL_NO_FUSION | MN_MODEL_NO_INIT, "desc->flags");
        require(model_out, "model_out");
        require(d.outputs, "desc->outputs");
        if (d.output_count < 1)
            fail(MN_INVALID_ARGUMENT, "desc->output_count must be at least 1, got ",
                 d.output_count);
        if (d.inference_batch < 0 || d.inference_batch > MN_MAX_BATCH)
            fail(MN_INVALID_ARGUMENT, "desc->inference_batch must be 0 to ", MN_MAX_BATCH, ", got ",
                 d.inference_batch);
        const std::shared_ptr<Device> on = get<Device>(device);
        const std::shared_ptr<GraphObject> object = get<GraphObject>(graph);
        std::lock_guard lock(object->mutex);
        *model_out = HandleTable::instance().make<Model>(on, object->graph, d);
    });
}

mn_status mn_model_destroy(mn_model model) {
    return guard([&] { HandleTable::instance().remove<Model>(model); });
}

mn_status mn_model_parameter_count(mn_model model, int32_t* count_out) {
    return guard([&] {
        require(count_out, "count_out");
        *count_out = static_cast<int32_t>(get<Model>(model)->parameters().size());
    });
}

mn_status mn_model_parameter_describe(mn_model model, int32_t index, mn_parameter_info* info_out) {
    return guard([&] {
        require_size(info_out, "info_out");
        const std::shared_ptr<Model> object = get<Model>(model);
        const Parameter& parameter = object->parameter(index);
        give(info_out, describe(parameter, index));
    });
}

mn_status mn_model_read(mn_model model, int32_t index, int32_t part, float* values,
                        uint64_t value_count) {
    return guard([&] {
        require(values, "values");
        get<Model>(model)->read(index, part, values, value_count);
    });
}

mn_status mn_model_write(mn_model model, int32_t index, int32_t part, const float* values,
                         uint64_t value_count) {
    return guard([&] {
        require(values, "values");
        get<Model>(model)->write(index, part, values, value_count);
    });
}

mn_status mn_model_write_all(mn_model model, const mn_parameter_write* writes,
                             int32_t write_count) {
    return guard([&] {
        if (write_count < 0 || (write_count && !writes))
            fail(MN_INVALID_ARGUMENT, "writes must hold write_count entries, got ", write_count);
        std::vector<mn_parameter_write> copies;
        const mn_parameter_write* all = take_array(writes, write_count, "writes[i]", copies);
        for (int32_t i = 0; i < write_count; i++) require(all[i].values, "writes[i].values");
        get<Model>(model)->write(all, write_count);
    });
}

mn_status mn_model_forward(mn_model model, const mn_batch* batch, const mn_output* outputs,
                           int32_t output_count) {
    return guard([&] {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        require(outputs, "outputs");
        if (output_count < 1)
            fail(MN_INVALID_ARGUMENT, "output_count must be at least 1, got ", output_count);
        std::vector<mn_output> copies;
        get<Model>(model)->forward(b, dataset_of(b),
                                   take_array(outputs, output_count, "outputs[i]", copies),
                                   output_count);
    });
}

mn_status mn_model_evaluate(mn_model model, const mn_batch* batch, const mn_loss_desc* loss,
                            mn_metrics* metrics_out) {
    return guard([&] {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        const mn_loss_desc l = take(loss, "loss");
        require_size(metrics_out, "metrics_out");
        give(metrics_out, get<Model>(model)->evaluate(b, dataset_of(b), l));
    });
}

mn_status mn_model_profile(mn_model model, const mn_batch* batch, mn_profile_entry* entries,
                           int32_t entry_count, int32_t* count_out) {
    return guard([&] { give_profile(*get<Model>(model), batch, entries, entry_count, count_out); });
}

mn_status mn_model_memory_plan(mn_model model, mn_memory_plan* plan_out) {
    return guard([&] {
        require_size(plan_out, "plan_out");
        give(plan_out, get<Model>(model)->memory_plan());
    });
}

mn_status mn_optimizer_moments(const mn_optimizer_desc* optimizer, uint32_t* parts_out) {
    return guard([&] {
        const mn_optimizer_desc desc = take(optimizer, "optimizer");
        require(parts_out, "parts_out");
        check_optimizer(desc);
        const Moments moments(desc);
        *parts_out = uint32_t{moments.first} << MN_PART_MOMENT1 |
                     uint32_t{moments.second} << MN_PART_MOMENT2 |
                     uint32_t{moments.third} << MN_PART_MOMENT3;
    });
}

mn_status mn_trainer_create(mn_model model, const mn_trainer_desc* desc, mn_trainer* trainer_out) {
    return guard([&] {
        mn_trainer_desc d = take(desc, "desc");
        require_flags(d.flags, MN_TRAINER_INPUT_GRADIENT, "desc->flags");
        require(trainer_out, "trainer_out");
        require(d.losses, "desc->losses");
        const mn_optimizer_desc optimizer = take(d.optimizer, "desc->optimizer");
        d.optimizer = &optimizer;
        if (d.loss_count < 1)
            fail(MN_INVALID_ARGUMENT, "desc->loss_count must be at least 1, got ", d.loss_count);
        std::vector<mn_loss_desc> losses;
        d.losses = take_array(d.losses, d.loss_count, "desc->losses[i]", losses);
        if (d.option_count < 0 || (d.option_count && !d.options))
            fail(MN_INVALID_ARGUMENT, "desc->options must hold option_count entries, got ",
                 d.option_count);
        std::vector<mn_parameter_options> options;
        d.options = take_array(d.options, d.option_count, "desc->options[i]", options);
        *trainer_out = HandleTable::instance().make<Trainer>(get<Model>(model), d);
    });
}

mn_status mn_trainer_destroy(mn_trainer trainer) {
    return guard([&] { HandleTable::instance().remove<Trainer>(trainer); });
}

mn_status mn_trainer_step(mn_trainer trainer, const mn_batch* batch, mn_metrics* metrics_out) {
    return guard([&] {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        require_size(metrics_out, "metrics_out");
        give(metrics_out, get<Trainer>(trainer)->step(b, dataset_of(b)));
    });
}

mn_status mn_trainer_begin_step(mn_trainer trainer, const mn_batch* batch) {
    return guard([&] {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        get<Trainer>(trainer)->begin_step(b, dataset_of(b));
    });
}

mn_status mn_trainer_step_sums(mn_trainer trainer, int32_t restart, mn_step_sums* sums_out) {
    return guard([&] {
        require_size(sums_out, "sums_out");
        give(sums_out, get<Trainer>(trainer)->sums(restart != 0));
    });
}

mn_status mn_trainer_accumulate(mn_trainer trainer, const mn_batch* batch,
                                mn_metrics* metrics_out) {
    return guard([&] {
        std::vector<mn_batch_input> inputs;
        const mn_batch b = take_batch(batch, inputs);
        require_size(metrics_out, "metrics_out");
        give(metrics_out, get<Trainer>(trainer)->accumulate(b, dataset_of(b)));
    });
}

mn_status mn_trainer_apply(mn_trainer trainer) {
    return guard([&] { get<Trainer>(trainer)->apply(); });
}

mn_status mn_trainer_clear(mn_trainer trainer) {
    return guard([&] { get<Trainer>(trainer)->clear(); });
}

mn_status mn_trainer_set_learning_rate(mn_trainer trainer, float learning_rate) {
    return guard([&] { get<Trainer>(trainer)->set_learning_rate(learning_rate); });
}

mn_status mn_trainer_get_progress(mn_trainer trainer, mn_training_progress* progress_out) {
    return guard([&] {
        require_size(progress_out, "progress_out");
        give(progress_out, get<Trainer>(trainer)->progress());
    });
}

mn_status mn_trainer_set_progress(mn_trainer trainer, const mn_training_progress* progress) {
    return guard([&] { get<Trainer>(trainer)->set_progress(take(progress, "progress")); });
}

mn_status mn_trainer_get_updates(mn_trainer trainer, int64_t* updates, int32_t parameter_count) {
    return guard([&] {
        require(updates, "updates");
        get<Trainer>(trainer)->read_updates(updates, parameter_count);
    });
}

mn_status mn_trainer_set_updates(mn_trainer trainer, const int64_t* updates,
                                 int32_t parameter_count) {
    return guard([&] {
        require(updates, "updates");
        get<Trainer>(trainer)->write_updates(updates, parameter_count);
    });
}

mn_status mn_trainer_input_gradient(mn_trainer trainer, int32_t node, float* values,
                                    uint64_t value_count) {
    return guard([&] {
        require(values, "values");
        get<Trainer>(trainer)->read_input_gradient(node, values, value_count);
    });
}

mn_status mn_trainer_profile(mn_trainer trainer, const mn_batch* batch, mn_profile_entry* entries,
                             int32_t entry_count, int32_t* count_out) {
    return guard(
        [&] { give_profile(*get<Trainer>(trainer), batch, entries, entry_count, count_out); });
}

mn_status mn_trainer_memory_plan(mn_trainer trainer, mn_memory_plan* plan_out) {
    return guard([&] {
        require_size(plan_out, "plan_out");
        give(plan_out, get<Trainer>(trainer)->memory_plan());
    });
}
