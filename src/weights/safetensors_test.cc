#include "weights/safetensors.h"

#include <random>

#include "base/file.h"
#include "weights/safetensors_header.h"
#include "weights/test_support.h"

namespace isotope::weights {
namespace {

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "test.safetensors");
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

// layout.safetensors was written by the reference implementation.
TEST(Safetensors, ReadsTheReferenceImplementationsFile) {
  const SafetensorsFile file(test_data("weights/layout.safetensors"));
  EXPECT_EQ(file.tensors().size(), 12u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  const TensorView& fp8 = file.tensors().at("model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(fp8.dtype, DType::f8_e4m3);
  EXPECT_EQ(fp8.shape, (Shape{3, 5}));
  for (int i = 0; i < 15; ++i) EXPECT_EQ(load_float(fp8, i), float(i));
  const TensorView& scalar = file.tensors().at("scalar");
  EXPECT_EQ(scalar.shape.rank(), 0);
  EXPECT_EQ(load_float(scalar, 0), 0.375f);
  EXPECT_EQ(load_float(file.tensors().at("half"), 5), 5.0f / 8);
  EXPECT_EQ(file.tensors().at("ids").as<std::int32_t>()[3], -3);
  EXPECT_EQ(file.tensors().at("positions").as<std::int64_t>()[2], 2);
  EXPECT_EQ(file.tensors().at("nothing").shape, (Shape{0, 4}));
  EXPECT_TRUE(file.tensors().contains("quote\"back\\slash"));
  EXPECT_EQ(file.tensors().at("größe").shape, (Shape{1, 1, 1, 2}));
}

TEST(Safetensors, WritesWhatTheReferenceImplementationWrites) {
  const auto reference = test_data("weights/layout.safetensors");
  const SafetensorsFile source(reference);
  // Alphabetical order: neither the order in the file nor one in which all tensors would be
  // aligned.
  std::vector<TensorPlan> plan;
  for (const auto& [name, view] : source.tensors()) plan.push_back({name, view.dtype, view.shape});
  const auto copy = scratch_folder("writer") / "copy.safetensors";
  write_safetensors(copy, plan, source.metadata(), [&](std::size_t i) {
    const TensorView& view = source.tensors().at(plan[i].name);
    return std::span(static_cast<const std::byte*>(view.data), std::size_t(view.bytes()));
  });
  EXPECT_EQ(read_file(copy), read_file(reference));
}

TEST(Safetensors, AFileThatIsNotFinishedLeavesNothingBehind) {
  const auto folder = scratch_folder("unfinished");
  const std::vector<TensorPlan> plan = {{"a", DType::u8, {4}}, {"b", DType::u8, {4}}};
  const std::vector<std::byte> four(4);
  EXPECT_THROW(write_safetensors(folder / "x.safetensors", plan, {},
                                 [&](std::size_t i) -> std::span<const std::byte> {
                                   if (i == 1) fail(ErrorCode::cancelled, "enough");
                                   return four;
                                 }),
               Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(Safetensors, TensorsOfForeignDTypesAreKeptByNameOnly) {
  const SafetensorsFile file(test_data("weights/foreign.safetensors"));
  EXPECT_TRUE(file.tensors().contains("single"));
  EXPECT_EQ(file.unsupported().at("double"), "dtype F64 is not supported");
}

TEST(Safetensors, MisalignedAndFiveDimensionalTensorsAreKeptByNameOnly) {
  std::string header = "{" + tensor("byte", "U8", "[1]", "[0,1]") + "," +
                       tensor("f", "F32", "[1]", "[1,5]") + "," +
                       tensor("five", "U8", "[1,1,1,1,3]", "[5,8]") + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const auto path = scratch_folder("odd") / "odd.safetensors";
  write_file(path, safetensors_bytes(header, 8));
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 1u);
  EXPECT_NE(file.unsupported().at("f").find("not aligned to the 4 bytes of F32"),
            std::string::npos);
  EXPECT_NE(file.unsupported().at("five").find("more than 4 dimensions"), std::string::npos);
}

struct Broken {
  std::string file;
  std::vector<std::string> says;
};

std::vector<Broken> broken_files() {
  const auto with = [](const std::string& header, std::size_t bytes) {
    return safetensors_bytes(header, bytes);
  };
  const std::string good = tensor("a", "F32", "[2]", "[0,8]");
  const std::string huge_length = "\xff\xff\xff\xff\xff\xff\xff\xff{}";
  return {
      // the length and the file as a whole
      {"", {"0 bytes", "at least 8"}},
      {std::string("\x10\0\0\0\0\0\0", 7), {"7 bytes"}},
      {huge_length, {"18446744073709551615"}},
      {std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10), {"100000001", "100000000"}},
      {std::string("\x03\0\0\0\0\0\0\0{}", 10), {"3 bytes", "download"}},
      {with("", 0), {"does not begin with '{'"}},
      {with("{" + good + "}", 8).substr(0, 40), {"download"}},
      // JSON
      {with(" {}", 0), {"does not begin"}},
      {with("[]", 0), {"does not begin"}},
      {with("{" + good, 8), {"not valid JSON"}},
      {with("{" + good + "},", 8), {"goes on after"}},
      {with("{" + good + "}{}", 8), {"goes on after"}},
      {with("{\"a\xff\":{}}", 0), {"not valid JSON"}},
      {with("{\"a\":{\"shape\":[[[[[[1]]]]]]}}", 0), {"'a'"}},
      {with("{\"__metadata__\":{\"a\":{}}}", 0), {"'__metadata__'", "'a'", "an object"}},
      {with("{\"__metadata__\":{\"a\":1}}", 0), {"'a'", "a number"}},
      {with("{\"__metadata__\":[]}", 0), {"'__metadata__'", "an array"}},
      {with("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0), {"'k' twice"}},
      {with("{\"a\":null}", 0), {"'a'", "null"}},
      {with("{\"a\":[]}", 0), {"'a'", "an array"}},
      {with("{" + good + "," + good + "}", 8), {"'a' occurs twice"}},
      {with("{" + good + ",\"\\u0061\":{}}", 8), {"'a' occurs twice"}},
      // fields
      {with("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8), {"'a' has no 'dtype'"}},
      {with("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8), {"has no 'shape'"}},
      {with("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8), {"has no 'data_offsets'"}},
      {with("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", 8), {"'dtype' twice"}},
      {with("{\"a\":{\"stride\":[2]}}", 8), {"unknown field 'stride'"}},
      {with("{\"a\":{\"dtype\":[1]}}", 0), {"'dtype' holds an array"}},
      {with("{\"a\":{\"dtype\":true}}", 0), {"'dtype' holds a boolean"}},
      {with("{\"a\":{\"shape\":\"2\"}}", 0), {"'shape' holds a string"}},
      {with("{\"a\":{\"shape\":[\"2\"]}}", 0), {"'shape' holds a string"}},
      {with("{" + tensor("a", "FLOAT", "[2]", "[0,8]") + "}", 8), {"'a'", "'FLOAT'"}},
      {with("{" + tensor("a", "f32", "[2]", "[0,8]") + "}", 8), {"'f32'"}},
      // numbers
      {with("{" + tensor("a", "F32", "[-2]", "[0,8]") + "}", 8), {"'shape' holds -2"}},
      {with("{" + tensor("a", "F32", "[2.5]", "[0,8]") + "}", 8), {"'shape' holds 2.5"}},
      {with("{" + tensor("a", "F32", "[18446744073709551615]", "[0,8]") + "}", 8), {"63 bits"}},
      {with("{" + tensor("a", "F32", "[4294967296,4294967296]", "[0,8]") + "}", 8), {"overflows"}},
      {with("{" + tensor("a", "F32", "[4611686018427387904,4,2]", "[0,8]") + "}", 8),
       {"overflows"}},
      {with("{" + tensor("a", "F32", "[0,9223372036854775807,4]", "[0,0]") + "}", 0),
       {"overflows"}},
      {with("{" + tensor("a", "F32", "[3]", "[0,8]") + "}", 8), {"needs 12 bytes, has 8"}},
      {with("{" + tensor("a", "F32", "[]", "[0,8]") + "}", 8), {"needs 4 bytes, has 8"}},
      {with("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1), {"whole number of bytes"}},
      // ranges
      {with("{" + tensor("a", "F32", "[2]", "[0,8,9]") + "}", 8), {"3 numbers"}},
      {with("{" + tensor("a", "F32", "[2]", "[8]") + "}", 8), {"1 numbers"}},
      {with("{" + tensor("a", "F32", "[2]", "[8,0]") + "}", 8), {"[8, 0]"}},
      {with("{" + tensor("a", "F32", "[2]", "[-8,0]") + "}", 8), {"'data_offsets' holds -8"}},
      {with("{" + good + "}", 7), {"[0, 8]", "7 bytes"}},
      {with("{" + good + "}", 9), {"end at byte 8 of 9"}},
      {with("{" + tensor("a", "F32", "[2]", "[1,9]") + "}", 9), {"a gap after the header"}},
      {with("{" + good + "," + tensor("b", "F32", "[1]", "[4,8]") + "}", 8),
       {"'b'", "overlapping a"}},
      {with("{" + good + "," + tensor("b", "F32", "[2]", "[0,8]") + "}", 8),
       {"'b'", "overlapping a"}},
      {with("{" + good + "," + tensor("b", "F32", "[1]", "[12,16]") + "}", 16),
       {"'b'", "a gap after a"}},
      {with("{" + tensor("a", "U8", "[9223372036854775800]", "[0,9223372036854775800]") + "}", 8),
       {"outside the 8 bytes"}},
      {with("{" + tensor("a", "U8", "[8]", "[9223372036854775799,9223372036854775807]") + "}", 8),
       {"outside the 8 bytes"}},
      {with("{}", 3), {"end at byte 0 of 3"}},
  };
}

TEST(Safetensors, BrokenFilesGiveOneClearError) {
  const std::vector<Broken> cases = broken_files();
  EXPECT_GE(cases.size(), 50u);
  for (const Broken& broken : cases) {
    SCOPED_TRACE(broken.file.size() > 8 ? broken.file.substr(8, 120) : "short file");
    auto says = broken.says;
    says.push_back("test.safetensors");
    expect_error(ErrorCode::corrupt_data, says, [&] { parse(broken.file); });
  }
}

TEST(Safetensors, UnusualButLegalHeadersAreRead) {
  EXPECT_TRUE(parse(safetensors_bytes("{}", 0)).entries.empty());
  EXPECT_TRUE(parse(safetensors_bytes("{}      ", 0)).entries.empty());
  // Fields in another order, an escaped name, white space everywhere.
  const SafetensorsHeader header =
      parse(safetensors_bytes("{ \"\\u00e9\" : { \"data_offsets\" : [ 0 , 8 ] , \"shape\" : [ 1 , "
                              "2 ] , \"dtype\" : \"F32\" } ,\n"
                              "\"__metadata__\" : { } }\t\n",
                              8));
  ASSERT_EQ(header.entries.size(), 1u);
  EXPECT_EQ(header.entries[0].name, "é");
  EXPECT_EQ(header.entries[0].shape, (std::vector<std::int64_t>{1, 2}));
}

/// Changes one to four bytes of a real file, or cuts it: every result is either read or refused
/// with an Error, and whatever is read stays inside the file.
TEST(Safetensors, MutatedFilesNeverEscapeTheirBounds) {
  const std::string original = read_file(test_data("weights/layout.safetensors"));
  constexpr std::string_view kAlphabet = "0123456789-,:[]{}\"\\eE.+ aFx\xff";
  std::mt19937 random(12345);
  const auto below = [&](std::size_t limit) { return std::size_t(random() % limit); };
  int refused = 0, read = 0;
  for (int step = 0; step < 3000; ++step) {
    std::string file = original;
    if (below(10) == 0) file.resize(below(file.size()));
    for (std::size_t edits = below(4) + 1; edits > 0 && !file.empty(); --edits) {
      const std::size_t at = below(file.size());
      switch (below(4)) {
        case 0:
          file[at] = char(random());
          break;
        case 1:
          file[at] = kAlphabet[below(kAlphabet.size())];
          break;
        case 2:
          file.erase(at, below(4) + 1);
          break;
        case 3:
          file.insert(at, 1, kAlphabet[below(kAlphabet.size())]);
          break;
      }
    }
    try {
      const SafetensorsHeader header = parse(file);
      ++read;
      const auto data = std::as_bytes(std::span(file)).subspan(std::size_t(header.data_offset));
      std::int64_t covered = 0;
      for (const SafetensorsEntry& entry : header.entries) {
        ASSERT_GE(entry.begin, covered);
        ASSERT_LE(entry.end, std::int64_t(data.size()));
        covered = entry.end;
        const SafetensorsView found = view_of(entry, data);
        if (found.problem.empty()) {
          ASSERT_EQ(found.view.bytes(), entry.end - entry.begin);
        }
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_data) << error.what();
      ++refused;
    }
  }
  // Edits of names, data and metadata are legal; most others are not.
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace isotope::weights
