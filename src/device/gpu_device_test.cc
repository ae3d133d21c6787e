// GpuDevice over a driver that is a few lines of this file: what it asks of a driver, and what it
// makes of failures.
#include "device/gpu_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace isotope::device {
namespace {

/// Host memory for a card; work is done at once, or noted while a stream is captured. Any call can
/// be told to fail.
class FakeDriver final : public GpuDriver {
 public:
  GpuFacts card;
  mutable std::map<std::string, int> failing;  // code by call
  mutable std::vector<std::string> calls;      // all but make_current
  mutable std::map<void*, std::vector<char>> memory, pinned;
  mutable std::multiset<std::string> live;  // streams, modules, events, …
  mutable std::vector<bool> overlaps;
  mutable int attached = 0, made_current = 0;
  mutable bool capturing = false;

  FakeDriver() {
    card.properties.name = "Test Card";
    card.properties.arch = "sm_90a";
    card.properties.shared_per_block = 1000;
    card.properties.overlapped_launch = true;
    card.limits.threads = 1024;
    card.limits.grid = {1u << 30, 100, 10};
    card.limits.grid_threads = 1u << 30;
  }

  Kind kind() const override { return Kind::cuda; }
  const std::string& identity() const override { return identity_; }
  std::string error_name(int code) const override { return fmt::format("FAKE_{}", code); }
  std::string error_text(int code) const override { return fmt::format("text of {}", code); }
  DriverStatus device_count(int* count) const override { return *count = 1, done("count"); }
  DriverStatus facts(int, GpuFacts* facts) const override { return *facts = card, done("facts"); }
  DriverStatus attach(int, void** context) const override {
    *context = const_cast<FakeDriver*>(this);
    return ++attached, done("attach");
  }
  DriverStatus detach(int) const override { return --attached, done("detach"); }
  DriverStatus make_current(int, void*) const override { return ++made_current, DriverStatus{}; }
  DriverStatus memory_info(std::size_t* available, std::size_t* total) const override {
    *available = std::size_t(3) << 30, *total = std::size_t(4) << 30;
    return done("memory_info");
  }
  DriverStatus allocate(void** data, std::size_t bytes) const override {
    const DriverStatus status = done("allocate");
    if (status.ok()) *data = take(memory, bytes);
    return status;
  }
  DriverStatus free(void* data) const override {
    EXPECT_FALSE(capturing) << "freeing inside a capture";
    return give(memory, data, "free");
  }
  DriverStatus allocate_pinned(void** data, std::size_t bytes) const override {
    const DriverStatus status = done("allocate_pinned");
    if (status.ok()) *data = take(pinned, bytes);
    return status;
  }
  DriverStatus free_pinned(void* data) const override { return give(pinned, data, "free_pinned"); }
  DriverStatus create_stream(void** stream) const override { return make("stream", stream); }
  DriverStatus destroy_stream(void*) const override { return unmake("stream"); }
  DriverStatus synchronize(void*) const override { return done("synchronize"); }
  DriverStatus copy_to_device(void* target, const void* source, std::size_t bytes,
                              void*) const override {
    if (!capturing) std::memcpy(target, source, bytes);
    return done("copy_to_device");
  }
  DriverStatus copy_to_host(void* target, const void* source, std::size_t bytes,
                            void*) const override {
    if (!capturing) std::memcpy(target, source, bytes);
    return done("copy_to_host");
  }
  DriverStatus fill(void* target, std::uint8_t value, std::size_t bytes, void*) const override {
    const DriverStatus status = done("fill");
    if (!capturing && status.ok()) std::memset(target, value, bytes);
    return status;
  }
  DriverStatus begin_capture(void*) const override {
    return capturing = true, done("begin_capture");
  }
  DriverStatus end_capture(void*, void** graph) const override {
    capturing = false;
    const DriverStatus status = done("end_capture");
    return status.ok() ? make("graph", graph) : status;
  }
  DriverStatus instantiate(void*, void** executable) const override {
    return make("executable", executable);
  }
  DriverStatus launch_graph(void*, void*) const override { return done("launch_graph"); }
  DriverStatus destroy_graph(void*) const override { return unmake("graph"); }
  DriverStatus destroy_executable(void*) const override { return unmake("executable"); }
  DriverStatus create_event(void** event) const override { return make("event", event); }
  DriverStatus destroy_event(void*) const override { return unmake("event"); }
  DriverStatus record(void*, void*) const override { return done("record"); }
  DriverStatus wait(void*) const override { return done("wait"); }
  DriverStatus elapsed_ms(void*, void*, float* ms) const override {
    return *ms = 1.5f, done("elapsed");
  }
  DriverStatus load_module(const void*, void** module) const override {
    return make("module", module);
  }
  DriverStatus unload_module(void*) const override { return unmake("module"); }
  DriverStatus find_function(void*, const char* name, void** function) const override {
    if (std::string_view(name) == "absent") return {500, "find_function"};
    *function = const_cast<FakeDriver*>(this);
    return done("find_function");
  }
  DriverStatus allow_shared(void*, std::uint32_t bytes) const override {
    return done(fmt::format("allow_shared {}", bytes));
  }
  DriverStatus launch(void*, const Launch&, const void*, bool overlap, void*) const override {
    return overlaps.push_back(overlap), done("launch");
  }

  int count(const std::string& call) const {
    return int(std::count(calls.begin(), calls.end(), call));
  }

 private:
  DriverStatus done(const std::string& call) const {
    calls.push_back(call);
    const auto found = failing.find(call);
    return {found == failing.end() ? 0 : found->second, "fakeCall"};
  }
  DriverStatus make(const std::string& what, void** handle) const {
    const DriverStatus status = done("make " + what);
    if (status.ok()) {
      live.insert(what);
      *handle = const_cast<FakeDriver*>(this);
    }
    return status;
  }
  DriverStatus unmake(const std::string& what) const {
    const auto found = live.find(what);
    EXPECT_NE(found, live.end()) << what << " is given back twice";
    if (found != live.end()) live.erase(found);
    return done("unmake " + what);
  }
  /// Memory as full of rubbish as a real card's, and like there the block that was freed last.
  void* take(std::map<void*, std::vector<char>>& from, std::size_t bytes) const {
    std::vector<char> block = std::move(freed_);
    if (block.size() != bytes) block.resize(bytes);
    std::fill(block.begin(), block.end(), char(0xcd));
    freed_.clear();
    void* data = block.data();
    from.emplace(data, std::move(block));
    return data;
  }
  DriverStatus give(std::map<void*, std::vector<char>>& back, void* data, const char* call) const {
    const auto found = back.find(data);
    EXPECT_NE(found, back.end()) << call << " of an address that it did not give";
    if (found != back.end()) {
      freed_ = std::move(found->second);
      back.erase(found);
    }
    return done(call);
  }
  mutable std::vector<char> freed_;
  std::string identity_ = "a fake driver";
};

class GpuDeviceTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeDriver> driver = std::make_shared<FakeDriver>();
  std::unique_ptr<GpuDevice> open() const { return std::make_unique<GpuDevice>(driver, 0); }
  void expect_all_given_back() const {
    EXPECT_EQ(driver->attached, 0);
    EXPECT_TRUE(driver->memory.empty());
    EXPECT_TRUE(driver->pinned.empty());
    for (const std::string& what : driver->live) ADD_FAILURE() << what << " is left";
  }
};

template <typename Act>
Error error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::cancelled, "no error");
}

void expect_error(const Error& error, ErrorCode code,
                  std::initializer_list<std::string_view> parts) {
  EXPECT_EQ(error.code(), code) << error.what();
  for (const std::string_view part : parts)
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
        << "“" << part << "” is missing in: " << error.what();
}

TEST_F(GpuDeviceTest, GivesEverythingBack) {
  {
    const auto gpu = open();
    const Buffer memory = gpu->allocate(100, "a test"), pinned = gpu->allocate_pinned(10, "a test");
    const auto module = gpu->load_module({}, "unit");
    const auto event = gpu->create_event();
    gpu->begin_capture();
    const auto graph = gpu->end_capture();
    EXPECT_EQ(driver->attached, 1);
    EXPECT_EQ(driver->live.size(), 5u);
  }
  expect_all_given_back();
}

TEST_F(GpuDeviceTest, GivesEverythingBackWhenOpeningFails) {
  for (const char* call : {"facts", "attach", "make stream"}) {
    driver->failing = {{call, 999}};
    expect_error(error_of([&] { open(); }), ErrorCode::internal,
                 {"cuda:0", "fakeCall", "FAKE_999", "text of 999", "nvidia-smi"});
    if (std::string_view(call) == "attach") driver->attached = 0;  // a failed attach owes nothing
    expect_all_given_back();
  }
}

TEST_F(GpuDeviceTest, GivesEverythingBackInTheMiddleOfACapture) {
  open()->begin_capture();
  EXPECT_FALSE(driver->capturing);
  expect_all_given_back();
}

TEST_F(GpuDeviceTest, RefusesACardThatTheKernelsCannotRunOn) {
  driver->card.unusable = "it is too old";
  expect_error(error_of([&] { open(); }), ErrorCode::unsupported,
               {"Test Card", "it is too old", "--device cpu"});
}

TEST_F(GpuDeviceTest, MemoryIsZeroed) {
  const auto gpu = open();
  const Buffer memory = gpu->allocate(100, "a test"), pinned = gpu->allocate_pinned(100, "a test");
  EXPECT_EQ(std::string(memory.as<char>(), 100), std::string(100, '\0'));
  EXPECT_EQ(std::string(pinned.as<char>(), 100), std::string(100, '\0'));
  EXPECT_EQ(gpu->allocate(0, "nothing").data(), nullptr);
  EXPECT_EQ(gpu->allocate_pinned(0, "nothing").data(), nullptr);
}

TEST_F(GpuDeviceTest, AnAddressMayServeHostAndCardInTurn) {
  const auto gpu = open();
  void* first = gpu->allocate_pinned(64, "a test").data();
  EXPECT_EQ(gpu->allocate(64, "a test").data(), first);
  EXPECT_EQ(gpu->allocate_pinned(64, "a test").data(), first);
  EXPECT_EQ(driver->count("free"), 1);
  EXPECT_EQ(driver->count("free_pinned"), 2);
}

TEST_F(GpuDeviceTest, OutOfMemorySaysWhatDidNotFit) {
  const auto gpu = open();
  driver->failing = {{"allocate", 2}, {"allocate_pinned", 2}};
  expect_error(error_of([&] { gpu->allocate(std::size_t(5) << 30, "the KV cache"); }),
               ErrorCode::out_of_memory,
               {"5368709120 bytes", "5.00 GiB", "the KV cache", "Test Card", "3.00 of 4.00 GiB",
                "--max-model-len"});
  expect_error(error_of([&] { gpu->allocate_pinned(7, "the table"); }), ErrorCode::out_of_memory,
               {"7 bytes", "page-locked host memory", "the table"});
  driver->failing = {{"fill", 1}};
  expect_error(error_of([&] { gpu->allocate(8, "the weights"); }), ErrorCode::internal,
               {"zeroing", "the weights"});
  EXPECT_TRUE(driver->memory.empty());
}

TEST_F(GpuDeviceTest, CopiesAndFills) {
  const auto gpu = open();
  const Buffer memory = gpu->allocate(4, "a test");
  gpu->stream().copy_to_device(memory.data(), "abcd", 4);
  gpu->stream().fill(memory.as<char>() + 1, 'x', 2);
  char back[5] = {};
  gpu->stream().copy_to_host(back, memory.data(), 4);
  gpu->stream().synchronize();
  EXPECT_STREQ(back, "axxd");
  const std::size_t before = driver->calls.size();
  gpu->stream().copy_to_device(nullptr, nullptr, 0);
  gpu->stream().copy_to_host(nullptr, nullptr, 0);
  gpu->stream().fill(nullptr, 1, 0);
  EXPECT_EQ(driver->calls.size(), before) << "nothing to do is nothing to ask";
}

TEST_F(GpuDeviceTest, ALostContextSaysSo) {
  const auto gpu = open();
  driver->failing = {{"synchronize", 700}};
  expect_error(error_of([&] { gpu->stream().synchronize(); }), ErrorCode::internal,
               {"waiting for the device", "FAKE_700", "everything on the card is lost",
                "compute-sanitizer"});
}

TEST_F(GpuDeviceTest, NothingThatBreaksAGraphIsDoneInACapture) {
  const auto gpu = open();
  auto event = gpu->create_event();
  Buffer memory = gpu->allocate(4, "a test"), pinned = gpu->allocate_pinned(4, "a test");
  gpu->begin_capture();
  const auto expect_refused = [&](auto act, const char* what) {
    expect_error(error_of(act), ErrorCode::internal, {"inside a captured step", what});
  };
  expect_refused([&] { gpu->allocate(4, "the logits"); }, "the logits");
  expect_refused([&] { gpu->allocate_pinned(4, "the table"); }, "the table");
  expect_refused([&] { gpu->stream().synchronize(); }, "waiting");
  expect_refused([&] { gpu->begin_capture(); }, "capture");
  expect_refused([&] { gpu->load_module({}, "unit"); }, "unit");
  expect_refused([&] { gpu->record(*event); }, "event");
  expect_refused([&] { gpu->elapsed_ms(*event, *event); }, "event");
  gpu->stream().fill(memory.data(), 1, 4);
  memory = Buffer();  // freeing waits, so it is put off
  pinned = Buffer();
  EXPECT_EQ(driver->count("free") + driver->count("free_pinned"), 0);
  const auto graph = gpu->end_capture();
  EXPECT_EQ(driver->count("free"), 1);
  EXPECT_EQ(driver->count("free_pinned"), 1);
  gpu->launch(*graph);
  EXPECT_EQ(driver->count("launch_graph"), 1);
  expect_error(error_of([&] { gpu->end_capture(); }), ErrorCode::internal, {"no capture"});
}

TEST_F(GpuDeviceTest, AFailedCaptureLeavesTheDeviceUsable) {
  const auto gpu = open();
  gpu->begin_capture();
  driver->failing = {{"end_capture", 901}};
  expect_error(error_of([&] { gpu->end_capture(); }), ErrorCode::internal, {"FAKE_901"});
  driver->failing = {{"make executable", 1}};
  gpu->begin_capture();
  EXPECT_THROW(gpu->end_capture(), Error);
  EXPECT_TRUE(driver->live == std::multiset<std::string>{"stream"});
  driver->failing.clear();
  EXPECT_NO_THROW(gpu->allocate(4, "a test"));
}

TEST_F(GpuDeviceTest, FindsKernels) {
  const auto gpu = open();
  const auto module = gpu->load_module({}, "unit<fp8>");
  EXPECT_EQ(module->kernel("one").handle, module->kernel("one").handle);
  EXPECT_EQ(driver->count("find_function"), 1);
  expect_error(error_of([&] { module->kernel("absent"); }), ErrorCode::not_found,
               {"unit<fp8>", "absent"});
}

TEST_F(GpuDeviceTest, RefusedCodeNamesItself) {
  const auto gpu = open();
  driver->failing = {{"make module", 209}};
  const std::vector<std::byte> code(12);
  expect_error(error_of([&] { gpu->load_module(code, "unit<fp8>"); }), ErrorCode::unsupported,
               {"unit<fp8>", "12 bytes", "sm_90a", "FAKE_209", "kernel cache"});
}

TEST_F(GpuDeviceTest, ChecksLaunchesBeforeTheDriverSeesThem) {
  const auto gpu = open();
  const auto module = gpu->load_module({}, "unit");
  const Kernel kernel = module->kernel("one");
  const std::vector<char> params(5000);
  const auto expect_refused = [&](const Launch& launch, std::size_t bytes, const char* part) {
    expect_error(error_of([&] { gpu->launch(kernel, launch, params.data(), bytes); }),
                 ErrorCode::internal, {"unit/one", part});
  };
  expect_refused({{1, 1, 1}, 0}, 4, "0 threads");
  expect_refused({{1, 1, 1}, 1025}, 4, "1025 threads");
  expect_refused({{0, 1, 1}, 32}, 4, "0×1×1");
  expect_refused({{1, 101, 1}, 32}, 4, "1×101×1");
  expect_refused({{1, 1, 11}, 32}, 4, "1×1×11");
  expect_refused({{1u << 29, 1, 1}, 32}, 4, "536870912 blocks of 32 threads");
  expect_refused({{1, 1, 1}, 32, 1001}, 4, "1001 bytes of shared memory");
  expect_refused({{1, 1, 1}, 32}, 4097, "4097 bytes of parameters");
  EXPECT_EQ(driver->count("launch"), 0);
  EXPECT_NO_THROW(gpu->launch(kernel, {{1, 100, 10}, 1024, 1000}, params.data(), 4096));
  EXPECT_EQ(driver->count("launch"), 1);
}

TEST_F(GpuDeviceTest, RaisesTheLimitOfSharedMemoryOnce) {
  const auto gpu = open();
  const auto module = gpu->load_module({}, "unit");
  const Kernel kernel = module->kernel("one");
  const int params = 0;
  for (const std::uint32_t bytes : {0u, 500u, 500u, 300u, 0u, 500u})
    gpu->launch(kernel, {{1, 1, 1}, 32, bytes}, &params, sizeof(params));
  EXPECT_EQ(driver->count("allow_shared 500"), 1);
  EXPECT_EQ(driver->count("allow_shared 300"), 0);
  gpu->launch(module->kernel("two"), {{1, 1, 1}, 32, 500}, &params, sizeof(params));
  EXPECT_EQ(driver->count("allow_shared 500"), 2);
}

TEST_F(GpuDeviceTest, OverlapsOnlyWhereAskedForAndPossible) {
  const auto run = [&] {
    const auto gpu = open();
    const auto module = gpu->load_module({}, "unit");
    const int params = 0;
    gpu->launch(module->kernel("one"), {{1, 1, 1}, 32, 0, false}, &params, sizeof(params));
    gpu->launch(module->kernel("one"), {{1, 1, 1}, 32, 0, true}, &params, sizeof(params));
    return std::exchange(driver->overlaps, {});
  };
  EXPECT_EQ(run(), (std::vector<bool>{false, true}));
  driver->card.properties.overlapped_launch = false;
  EXPECT_EQ(run(), (std::vector<bool>{false, false}));
}

TEST_F(GpuDeviceTest, TimesOnlyRecordedEvents) {
  const auto gpu = open();
  const auto begin = gpu->create_event();
  const auto end = gpu->create_event();
  gpu->record(*begin);
  expect_error(error_of([&] { gpu->elapsed_ms(*begin, *end); }), ErrorCode::internal, {"recorded"});
  gpu->record(*end);
  EXPECT_EQ(gpu->elapsed_ms(*begin, *end), 1.5f);
  EXPECT_EQ(driver->count("wait"), 1);
}

TEST_F(GpuDeviceTest, EntersTheContextOncePerThread) {
  const auto gpu = open();
  const Buffer memory = gpu->allocate(4, "a test");
  gpu->stream().synchronize();
  EXPECT_EQ(driver->made_current, 1);
  std::thread([&] {
    gpu->stream().synchronize();
    gpu->stream().synchronize();
  }).join();
  EXPECT_EQ(driver->made_current, 2);
  const auto other = open();  // in this thread: now the first must be entered again
  gpu->stream().synchronize();
  EXPECT_EQ(driver->made_current, 4);
}

}  // namespace
}  // namespace isotope::device
