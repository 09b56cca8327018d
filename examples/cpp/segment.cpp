// segment PLAN KERNELS.ptx IN.ppm OUT.pgm [IN.ppm OUT.pgm ...]
//
// Labels of binary PPM images (P6, 8 bits), written as PGM (P5): a pixel's value is its class.
#include <chrono>
#include <iostream>

#include "edaformer.hpp"

struct Picture {
    int height = 0, width = 0;
    std::vector<uint8_t> pixels;
};

static Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw edaformer::Error("expected an image at " + path + ", found none; check the path");
    std::string kind;
    int width = 0, height = 0, greatest = 0;
    file >> kind >> width >> height >> greatest;
    file.get();
    if (!file || kind != "P6" || greatest != 255 || width < 1 || height < 1 || width > 16384 ||
        height > 16384)
        throw edaformer::Error(path + " is not a binary PPM of 8 bits (P6, 255); convert it first");
    Picture made{height, width, std::vector<uint8_t>(size_t{3} * height * width)};
    file.read(reinterpret_cast<char*>(made.pixels.data()),
              static_cast<std::streamsize>(made.pixels.size()));
    if (!file) throw edaformer::Error(path + " is cut short; convert it again");
    return made;
}

static void write_pgm(const std::string& path, const Picture& shown,
                      const std::vector<uint8_t>& labels) {
    std::ofstream file(path, std::ios::binary);
    file << "P5\n" << shown.width << " " << shown.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(labels.data()),
               static_cast<std::streamsize>(labels.size()));
    if (!file.flush()) throw edaformer::Error("cannot write " + path + "; name another place");
}

static int run(int count, char** words) {
    if (count < 5 || count % 2 == 0) {
        std::cerr << "usage: segment PLAN KERNELS.ptx IN.ppm OUT.pgm [IN.ppm OUT.pgm ...]\n";
        return 2;
    }
    edaformer::Engine engine(words[1], words[2]);
    const edaformer::Manifest& known = engine.manifest();
    std::cerr << "EDAFormer-" << known.variant << ", ISR " << known.isr << ", " << known.classes
              << " classes, " << known.precision << ", " << known.height << "x" << known.width << "\n";
    for (int at = 3; at < count; at += 2) {
        Picture shown = read_ppm(words[at]);
        auto start = std::chrono::steady_clock::now();
        std::vector<uint8_t> labels = engine(shown.pixels.data(), shown.height, shown.width);
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
        write_pgm(words[at + 1], shown, labels);
        std::cerr << words[at + 1] << " in " << took.count() << " ms\n";
    }
    return 0;
}

int main(int count, char** words) {
    try {
        return run(count, words);
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 2;
    }
}
