// Jumps, waits, barriers, the end of a wave.
#include "sim/lanes.h"

namespace isotope::sim {
namespace {

void nothing(Wave&, const Instruction&) {}

void end(Wave& wave, const Instruction&) { wave.state = Wave::done; }

}  // namespace

void add_scalar_control(Opcodes& opcodes) {
  for (const char* name : {"s_nop", "s_clause", "s_delay_alu", "s_sendmsg", "s_code_end"}) opcodes.add(name, nothing, Class::other);
  for (const char* name : {"s_wait_loadcnt", "s_wait_storecnt", "s_wait_dscnt", "s_wait_kmcnt", "s_wait_samplecnt",
                           "s_wait_bvhcnt", "s_wait_expcnt", "s_wait_loadcnt_dscnt", "s_wait_storecnt_dscnt", "s_wait_alu",
                           "s_wait_idle"})
    opcodes.add(name, nothing, Class::wait);
  opcodes.add("s_endpgm", end, Class::other);
}

}  // namespace isotope::sim
