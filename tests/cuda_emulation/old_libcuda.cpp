// A libcuda so old that it lacks what the plugin calls.

extern "C" __attribute__((visibility("default"))) int cuInit(unsigned) {
    return 0;
}
