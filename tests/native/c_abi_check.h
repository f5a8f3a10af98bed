/* Checks and shared objects of the plain-C test of the ABI. */

#ifndef C_ABI_CHECK_H
#define C_ABI_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "mnistnative.h"

/* Counts a check; prints it if it fails. */
int check_true(int condition, const char* text, const char* file, int line);
#define CHECK(condition) check_true((condition) != 0, #condition, __FILE__, __LINE__)

/* The call must end with `want`; if that is a failure, its text must contain `fragment` and
   mn_last_error_info must agree. */
int check_status(mn_status got, mn_status want, const char* fragment, const char* text,
                 const char* file, int line);
#define OK(call) check_status((call), MN_OK, "", #call, __FILE__, __LINE__)
#define FAILS(call, status, fragment) \
    check_status((call), (status), (fragment), #call, __FILE__, __LINE__)

/* Out-parameters are filled with a pattern before a call that must fail, and must keep it. */
void taint(void* memory, size_t bytes);
int is_tainted(const void* memory, size_t bytes);
#define TAINT(object) taint(&(object), sizeof(object))
#define UNTOUCHED(object) CHECK(is_tainted(&(object), sizeof(object)))

/* The same for a struct whose first field is its size. */
#define TAINT_STRUCT(object) (TAINT(object), (object).struct_size = (uint32_t)sizeof(object))
#define UNTOUCHED_STRUCT(object)                  \
    CHECK(                                        \
        (object).struct_size == sizeof(object) && \
        is_tainted((const char*)&(object) + sizeof(uint32_t), sizeof(object) - sizeof(uint32_t)))

/* `call` reads the handle `h` and must refuse each that is null, garbage, of another kind
   (`foreign`) or stale. */
#define REFUSES_HANDLES(call, foreign, stale)                                           \
    do {                                                                                \
        const uint64_t bad_[6] = {0,         1,       UINT64_MAX,                       \
                                  (foreign), (stale), (foreign) ^ ((uint64_t)1 << 32)}; \
        int k_;                                                                         \
        for (k_ = 0; k_ < 6; k_++) {                                                    \
            const uint64_t h = bad_[k_];                                                \
            FAILS(call, MN_INVALID_HANDLE, k_ == 0 ? "null" : "");                      \
        }                                                                               \
    } while (0)

/* Prints a line about the checks since the last call. */
void end_group(const char* name);
/* Prints the sum; returns the process's exit code. */
int end_checks(void);

/* A little network on 1 x 8 x 8 images with four classes, and a problem that it can learn: which
   quadrant is bright. */
enum { kSide = 8, kPixels = 64, kClasses = 4, kImages = 256, kBatch = 32 };

typedef struct toy {
    mn_device device;
    mn_graph graph;
    mn_model model;
    int32_t input, conv, logits, softmax;
    uint8_t images[kImages * kPixels];
    int32_t labels[kImages];
} toy;

void toy_create(toy* t);
void toy_destroy(toy* t);
mn_batch toy_batch(const toy* t, int first, int count);
mn_loss_desc cross_entropy(int32_t node);
mn_optimizer_desc adam(float learning_rate);
mn_trainer_desc trainer_of(const mn_loss_desc* loss, const mn_optimizer_desc* optimizer,
                           int32_t max_batch);
mn_conv2d_desc conv_3x3(int32_t out_channels);
mn_pool2d_desc pool_2x2(void);

/* Wrong batches and losses; `run` hands them to one of the functions that take them, which must
   refuse them and take the right ones. */
void check_batch_errors(const toy* t, mn_status (*run)(const mn_batch*), int needs_labels);
void check_loss_errors(const toy* t, mn_status (*run)(const mn_loss_desc*));

/* The groups. */
void check_errors_of_devices(void);
void check_errors_of_graphs(void);
void check_errors_of_data(void);
void check_errors_of_inputs(void);
void check_errors_of_models(void);
void check_errors_of_trainers(void);
void check_out_of_memory(void);
void check_versions_of_callers(void);

#endif
