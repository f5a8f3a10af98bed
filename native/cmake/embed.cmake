# Writes a C++ source that holds files as arrays:
#
#   cmake -DOUTPUT=images.cpp "-DFILES=a.fatbin,b.fatbin" -P embed.cmake

string(REPLACE "," ";" FILES "${FILES}")
set(arrays "")
set(entries "")
foreach(file IN LISTS FILES)
    cmake_path(GET file STEM name)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)"
        "\\1\n" bytes "${bytes}")
    # The driver reads the header of an image as 64-bit words.
    string(APPEND arrays "alignas(16) MN_FATBIN const unsigned char ${name}_image[] = {\n${bytes}};\n\n")
    string(APPEND entries "    {\"${name}\", ${name}_image},\n")
endforeach()
file(WRITE "${OUTPUT}" "#include \"backend/cuda/images.h\"

// Where NVIDIA's tools look for device code: cuobjdump lists what the plugin holds.
#if defined(__ELF__)
#define MN_FATBIN [[gnu::section(\".nv_fatbin\")]]
#else
#define MN_FATBIN
#endif

namespace mn::cuda {
namespace {

${arrays}}  // namespace

const Image kImages[] = {
${entries}    {nullptr, nullptr},
};

}  // namespace mn::cuda
")
