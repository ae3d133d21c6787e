#include "sim/decode.h"

#include <llvm/MC/MCAsmBackend.h>
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCCodeEmitter.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCObjectFileInfo.h>
#include <llvm/MC/MCObjectWriter.h>
#include <llvm/MC/MCParser/MCAsmParser.h>
#include <llvm/MC/MCParser/MCTargetAsmParser.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCStreamer.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

#include <cstring>

#include "sim/wave.h"

namespace isotope::sim {
namespace {

constexpr const char* kTriple = "amdgcn-amd-amdhsa";
constexpr const char* kCpu = "gfx1201";

const llvm::Target& target() {
  static const llvm::Target* const found = [] {
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUDisassembler();
    LLVMInitializeAMDGPUAsmParser();
    std::string error;
    const llvm::Target* const result = llvm::TargetRegistry::lookupTarget(kTriple, error);
    if (!result) throw Fault("LLVM has no AMDGPU: " + error);
    return result;
  }();
  return *found;
}

/// Collects the bytes of every instruction that the parser hands over.
class Collector : public llvm::MCStreamer {
 public:
  Collector(llvm::MCContext& context, llvm::MCCodeEmitter& emitter) : MCStreamer(context), emitter_(emitter) {}
  void emitInstruction(const llvm::MCInst& instruction, const llvm::MCSubtargetInfo& subtarget) override {
    llvm::SmallVector<llvm::MCFixup, 4> fixups;
    emitter_.encodeInstruction(instruction, bytes, fixups, subtarget);
  }
  bool emitSymbolAttribute(llvm::MCSymbol*, llvm::MCSymbolAttr) override { return true; }
  void emitCommonSymbol(llvm::MCSymbol*, uint64_t, llvm::Align) override {}
  void emitZerofill(llvm::MCSection*, llvm::MCSymbol*, uint64_t, llvm::Align, llvm::SMLoc) override {}
  llvm::SmallVector<char, 256> bytes;

 private:
  llvm::MCCodeEmitter& emitter_;
};

}  // namespace

struct Decoder::Llvm {
  llvm::MCTargetOptions options;
  std::unique_ptr<llvm::MCRegisterInfo> registers{target().createMCRegInfo(kTriple)};
  std::unique_ptr<llvm::MCAsmInfo> assembler{target().createMCAsmInfo(*registers, kTriple, options)};
  std::unique_ptr<llvm::MCInstrInfo> instructions{target().createMCInstrInfo()};
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget{target().createMCSubtargetInfo(kTriple, kCpu, "")};
  llvm::MCContext context{llvm::Triple(kTriple), assembler.get(), registers.get(), subtarget.get()};
  std::unique_ptr<llvm::MCDisassembler> disassembler{target().createMCDisassembler(*subtarget, context)};
  std::unique_ptr<llvm::MCInstPrinter> printer{
      target().createMCInstPrinter(llvm::Triple(kTriple), 0, *assembler, *instructions, *registers)};
};

Decoder::Decoder() : llvm_(std::make_unique<Llvm>()) {
  if (!llvm_->disassembler || !llvm_->printer) throw Fault("LLVM has no disassembler for gfx1201");
}
Decoder::~Decoder() = default;

Program Decoder::decode(std::span<const std::byte> code, std::uint64_t address) {
  Program program;
  program.address = address;
  program.index_of_word.assign(code.size() / 4 + 1, -1);
  std::vector<std::int64_t> targets;
  for (std::size_t at = 0; at + 4 <= code.size();) {
    llvm::MCInst instruction;
    std::uint64_t size = 0;
    const llvm::ArrayRef<std::uint8_t> rest(reinterpret_cast<const std::uint8_t*>(code.data()) + at, code.size() - at);
    std::string text;
    if (llvm_->disassembler->getInstruction(instruction, size, rest, at, llvm::nulls()) == llvm::MCDisassembler::Success) {
      llvm::raw_string_ostream out(text);
      llvm_->printer->printInst(&instruction, at, "", *llvm_->subtarget, out);
    } else {
      size = 4;
      text = "no instruction";
    }
    program.index_of_word[at / 4] = std::int32_t(program.instructions.size());
    Instruction decoded = parse_instruction(text, program.halves);
    decoded.address = address + at;
    decoded.bytes = std::uint32_t(size);
    std::int64_t to = -1;
    if (decoded.opcode && decoded.opcode->cls == Class::branch && decoded.operands[0].kind == Operand::constant)
      to = std::int64_t(at) + 4 + std::int64_t(i16(decoded.operands[0].value)) * 4;
    targets.push_back(to);
    program.instructions.push_back(std::move(decoded));
    at += size;
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::int64_t to = targets[i];
    const bool there = to >= 0 && to / 4 < std::int64_t(program.index_of_word.size()) &&
                       program.index_of_word[std::size_t(to / 4)] >= 0;
    program.instructions[i].target = there ? u32(program.index_of_word[std::size_t(to / 4)]) : u32(-1);
  }
  return program;
}

std::vector<std::byte> Decoder::assemble(std::string_view text) {
  std::string complaint;
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(text.data(), text.size())), llvm::SMLoc());
  sources.setDiagHandler(
      [](const llvm::SMDiagnostic& diagnostic, void* to) {
        *static_cast<std::string*>(to) += diagnostic.getMessage().str() + "\n";
      },
      &complaint);
  llvm::MCContext context(llvm::Triple(kTriple), llvm_->assembler.get(), llvm_->registers.get(), llvm_->subtarget.get(),
                          &sources, &llvm_->options);
  llvm::MCObjectFileInfo objects;
  objects.initMCObjectFileInfo(context, false);
  context.setObjectFileInfo(&objects);
  const std::unique_ptr<llvm::MCCodeEmitter> emitter(target().createMCCodeEmitter(*llvm_->instructions, context));
  Collector collector(context, *emitter);
  target().createNullTargetStreamer(collector);
  const std::unique_ptr<llvm::MCAsmParser> parser(llvm::createMCAsmParser(sources, context, collector, *llvm_->assembler));
  const std::unique_ptr<llvm::MCTargetAsmParser> words(
      target().createMCAsmParser(*llvm_->subtarget, *parser, *llvm_->instructions, llvm_->options));
  parser->setTargetParser(*words);
  if (parser->Run(false) || !complaint.empty()) throw Fault("assembler: " + complaint + "in: " + std::string(text));
  std::vector<std::byte> bytes(collector.bytes.size());
  std::memcpy(bytes.data(), collector.bytes.data(), bytes.size());
  return bytes;
}

}  // namespace isotope::sim
