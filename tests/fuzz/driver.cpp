// Runs programs of calls without a fuzzer: those of the corpus, then mixtures and changes of them,
// for so many calls or seconds. Any compiler builds it.
//
//   mn_abi_fuzz FOLDER [--calls N] [--seconds N] [--seed N] [--threads 1|2] [--last FILE]
//
// `--last` names a file that always holds the input under way: what to look at after a crash, which
// the program repeats where it is given instead of a folder.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "abi_program.h"

namespace {

using Input = std::vector<uint8_t>;

Input read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return Input(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Pieces of several inputs, with a few changes.
Input vary(const std::vector<Input>& corpus, std::mt19937_64& random) {
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    Input input;
    for (size_t i = 1 + below(3); i > 0; i--) {
        const Input& part = corpus[below(corpus.size())];
        const size_t first = below(4) ? 0 : below(part.size() + 1);
        const size_t last = first + below(part.size() - first + 1);
        input.insert(input.end(), part.begin() + static_cast<std::ptrdiff_t>(first),
                     part.begin() + static_cast<std::ptrdiff_t>(last));
    }
    if (below(3) == 0)
        for (size_t i = below(300); i > 0; i--) input.push_back(static_cast<uint8_t>(random()));
    for (size_t i = below(12); i > 0 && !input.empty(); i--) {
        const size_t at = below(input.size());
        const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
        switch (below(4)) {
            case 0:
                input[at] ^= static_cast<uint8_t>(1u << below(8));
                break;
            case 1:
                input[at] = static_cast<uint8_t>(random());
                break;
            case 2:
                input.insert(place, static_cast<uint8_t>(random()));
                break;
            default:
                input.erase(place);
        }
    }
    return input;
}

int usage() {
    std::fprintf(stderr,
                 "usage: mn_abi_fuzz FOLDER|FILE [--calls N] [--seconds N] [--seed N] "
                 "[--threads 1|2] [--last FILE]\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc % 2 != 0) return usage();
    double calls = 0, seconds = 0;
    uint64_t seed = 1;
    int threads = 1;
    std::string last;
    for (int i = 2; i < argc; i += 2) {
        const std::string option = argv[i], value = argv[i + 1];
        if (option == "--calls")
            calls = std::atof(value.c_str());
        else if (option == "--seconds")
            seconds = std::atof(value.c_str());
        else if (option == "--seed")
            seed = std::strtoull(value.c_str(), nullptr, 10);
        else if (option == "--threads")
            threads = std::atoi(value.c_str());
        else if (option == "--last")
            last = value;
        else
            return usage();
    }
    if (threads != 1 && threads != 2) return usage();

    std::vector<std::filesystem::path> paths;
    if (std::filesystem::is_directory(argv[1]))
        for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
            paths.push_back(entry.path());
    else
        paths.push_back(argv[1]);
    std::sort(paths.begin(), paths.end());  // the same runs on every file system
    std::vector<Input> corpus;
    for (const auto& path : paths) corpus.push_back(read(path));
    if (corpus.empty()) {
        std::fprintf(stderr, "mn_abi_fuzz: there is nothing in %s\n", argv[1]);
        return 2;
    }

    mn::fuzz::Totals& totals = mn::fuzz::totals();
    const auto begin = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    int64_t runs = 0;
    const auto run = [&](const Input& input) {
        if (!last.empty())
            std::ofstream(last, std::ios::binary)
                .write(reinterpret_cast<const char*>(input.data()),
                       static_cast<std::streamsize>(input.size()));
        mn::fuzz::run_input(input.data(), input.size(), threads);
        runs++;
    };
    for (const Input& input : corpus) run(input);
    std::mt19937_64 random(seed);
    while (static_cast<double>(totals.calls) < calls || elapsed() < seconds)
        run(vary(corpus, random));

    std::printf("%lld calls in %lld programs, %d thread%s, seed %llu, %.0f s: ",
                static_cast<long long>(totals.calls), static_cast<long long>(runs), threads,
                threads == 1 ? "" : "s", static_cast<unsigned long long>(seed), elapsed());
    std::printf("%lld models, %lld forwards, %lld steps, %lld failed allocations; by status",
                static_cast<long long>(totals.models), static_cast<long long>(totals.forwards),
                static_cast<long long>(totals.steps),
                static_cast<long long>(totals.failed_allocations));
    for (const auto& count : totals.by_status) std::printf(" %lld", static_cast<long long>(count));
    std::printf("\n");
    return 0;
}
