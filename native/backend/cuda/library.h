// NVIDIA's libraries, opened at run time by name. With MNISTNATIVE_CUDA_PATH set, they are looked
// for in that folder and nowhere else.

#pragma once

#include <initializer_list>
#include <string>

namespace mn::cuda {

class Library {
public:
    // Opens the first of the file names that can be opened. Check `found`.
    explicit Library(std::initializer_list<const char*> names);
    ~Library();
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    bool found() const { return handle_ != nullptr; }
    // The full path where the system tells it, else the name.
    const std::string& path() const { return path_; }
    // What was tried, and the system's words where it refused a file that is there.
    const std::string& failure() const { return failure_; }

    // Null if the library has no such function.
    void* symbol(const char* name) const;

private:
    void* handle_ = nullptr;
    std::string path_, failure_;
};

}  // namespace mn::cuda
