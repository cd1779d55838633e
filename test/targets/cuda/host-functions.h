// The prelude's functions of the device for a processor: lanes are fibers that take turns where they meet, 32 of them exchange values, and
// shared memory is NaN until it is stored.
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define FUNCTION inline
#define CONSTANT static const
#define KERNEL(lanes, resident) extern "C" void

enum { most_lanes = 1024, warp = 32, stack_bytes = 1 << 17, pool_words = 1 << 14 };
alignas(1024) static Words4 shared_pool[pool_words];

// Those who meet: the last to come lets all go on. `moves` counts the meetings that have ended.
struct Meeting { i32 there, turn; };
static i64 moves;
static ucontext_t fibers[most_lanes];
static jmp_buf host, places[most_lanes];
static char stacks[most_lanes][stack_bytes];
static bool begun[most_lanes], ended[most_lanes];
static i32 lanes_here, group_here, groups_here, lane_here;
static Meeting of_block, of_warps[most_lanes / warp];
static u32 left[most_lanes];

// By jumps: contexts would ask the system each time.
inline void give_way() { if (_setjmp(places[lane_here]) == 0) _longjmp(host, 1); }
inline void go_on(i32 lane) {
  lane_here = lane;
  if (_setjmp(host) != 0) return;
  if (begun[lane]) _longjmp(places[lane], 1);
  begun[lane] = true;
  setcontext(&fibers[lane]);
}
inline void meet(Meeting& m, i32 all) {
  const i32 turn = m.turn;
  if (++m.there == all) {
    m.there = 0;
    m.turn++;
    moves++;
  }
  while (m.turn == turn) give_way();
}
FUNCTION i32 lane_number() { return lane_here; }
FUNCTION i32 workgroup_number() { return group_here; }
FUNCTION i32 workgroup_count() { return groups_here; }
FUNCTION void barrier() { meet(of_block, lanes_here); }
// One lane runs until it waits.
FUNCTION void add_together(i32* p, i32 x) { *p = (i32)((u32)*p + (u32)x); }
FUNCTION void add_together(u32* p, u32 x) { *p += x; }
FUNCTION u32 exchange_word(u32 x, i32 mask) {
  const i32 warp_here = lane_here / warp, others = lanes_here - warp_here * warp;
  Meeting& m = of_warps[warp_here];
  left[lane_here] = x;
  meet(m, others < warp ? others : warp);
  const u32 other = left[lane_here ^ mask];
  meet(m, others < warp ? others : warp);
  return other;
}
FUNCTION void await_launches() {}
FUNCTION void release_launches() {}
FUNCTION void prefetch(const void*) {}
template <class S> FUNCTION S* in_memory(S* array) { return array; }
FUNCTION u32 among(u32 x, u32 mask, u32 others) { return (x & mask) | others; }
FUNCTION u32 bits(f32 x) { u32 b; memcpy(&b, &x, 4); return b; }
FUNCTION f32 from_bits(u32 b) { f32 x; memcpy(&x, &b, 4); return x; }
FUNCTION u16 steady(const u16* p) { return *p; }
FUNCTION u32 steady(const u32* p) { return *p; }
FUNCTION Words2 steady(const Words2* p) { return *p; }
FUNCTION Words4 steady(const Words4* p) { return *p; }
FUNCTION u16 once(const u16* p) { return *p; }
FUNCTION u32 once(const u32* p) { return *p; }
FUNCTION Words2 once(const Words2* p) { return *p; }
FUNCTION Words4 once(const Words4* p) { return *p; }
FUNCTION Words4 once_of_line(const Words4* p) { return *p; }
FUNCTION u16 narrow_bf16(f32 x) {
  const u32 b = bits(x);
  return x != x ? (u16)0x7fff : (u16)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}
inline f32 half_of(u32 word, i32 i) { return from_bits((word >> (16 * i)) << 16); }
FUNCTION u32 times_halves(u32 a, u32 b) {
  return narrow_bf16(half_of(a, 0) * half_of(b, 0)) | (u32)narrow_bf16(half_of(a, 1) * half_of(b, 1)) << 16;
}
FUNCTION u32 less_halves(u32 a, u32 b) {
  return narrow_bf16(half_of(a, 0) - half_of(b, 0)) | (u32)narrow_bf16(half_of(a, 1) - half_of(b, 1)) << 16;
}
// Below 2^-14 an addition aligns the value to multiples of 2^-24 and rounds it.
FUNCTION u16 narrow_f16(f32 x) {
  const u32 b = bits(x), m = b & 0x7fffffffu, sign = (b >> 16) & 0x8000u;
  if (m > 0x7f800000u) return (u16)0x7fff;
  if (m >= 0x47800000u) return (u16)(sign | 0x7c00u);
  if (m < 0x38800000u) return (u16)(sign | (bits(from_bits(m) + 0.5f) - 0x3f000000u));
  return (u16)(sign | ((m + 0xc8000fffu + ((m >> 13) & 1u)) >> 13));
}
FUNCTION u32 narrow_two_bf16(f32 low, f32 high) { return narrow_bf16(low) | (u32)narrow_bf16(high) << 16; }
FUNCTION u32 narrow_two_f16(f32 low, f32 high) { return narrow_f16(low) | (u32)narrow_f16(high) << 16; }
FUNCTION f32 widen_f16(u16 w) {
  const u32 size = w & 0x7fffu;
  const f32 x = size >= 0x7c00u ? from_bits((size << 13) + 0x70000000u) : from_bits(size << 13) * 0x1p112f;
  return (w & 0x8000u) != 0 ? -x : x;
}
FUNCTION f32 power_of_two(f32 x) { return x < -126.0f ? 0.0f : exp2f(x); }
FUNCTION f32 fused(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
FUNCTION f32 smaller(f32 a, f32 b) { return a != a ? a : b != b ? b : a == b ? from_bits(bits(a) | bits(b)) : a < b ? a : b; }
FUNCTION f32 larger(f32 a, f32 b) { return a != a ? a : b != b ? b : a == b ? from_bits(bits(a) & bits(b)) : a < b ? b : a; }
FUNCTION f32 larger_of_numbers(f32 a, f32 b) { return a < b ? b : a; }
FUNCTION i32 to_signed(f32 x) { return x != x ? 0 : x >= 0x1p31f ? 2147483647 : x < -0x1p31f ? -2147483647 - 1 : (i32)x; }
FUNCTION u32 to_unsigned(f32 x) { return !(x > 0.0f) ? 0u : x >= 0x1p32f ? 4294967295u : (u32)x; }
FUNCTION f32 absolute(f32 x) { return fabsf(x); }
FUNCTION f32 lowered(f32 x) { return floorf(x); }
FUNCTION f32 raised(f32 x) { return ceilf(x); }
FUNCTION f32 rounded(f32 x) { return rintf(x); }
FUNCTION f32 truncated(f32 x) { return truncf(x); }
FUNCTION f32 root(f32 x) { return sqrtf(x); }
FUNCTION f32 remainder_of(f32 a, f32 b) { return fmodf(a, b); }

inline void forget_what_is_under_way();
static void (*launched)();
static void one_lane() {
  launched();
  ended[lane_here] = true;
  moves++;
  give_way();
}
// One workgroup after the other. A warp, drawn by lot, goes as far ahead of the others as it may; its lanes take turns, the last one first.
// 3: lanes wait for one another for ever.
static void launch(void (*kernel)(), i32 lanes, i32 groups) {
  launched = kernel;
  lanes_here = lanes;
  groups_here = groups;
  const u32 warps = (lanes + warp - 1) / warp;
  for (group_here = 0; group_here < groups; group_here++) {
    memset(shared_pool, 0xff, sizeof shared_pool);
    forget_what_is_under_way();
    of_block = Meeting();
    for (Meeting& m : of_warps) m = Meeting();
    for (i32 i = 0; i < lanes; i++) {
      getcontext(&fibers[i]);
      fibers[i].uc_stack.ss_sp = stacks[i];
      fibers[i].uc_stack.ss_size = stack_bytes;
      fibers[i].uc_link = NULL;
      makecontext(&fibers[i], one_lane, 0);
      begun[i] = ended[i] = false;
    }
    u32 lot = 12345u + group_here, idle = 0;
    for (i32 going = lanes; going > 0;) {
      lot = lot * 1664525u + 1013904223u;
      const i32 first = (lot >> 8) % warps * warp, end = first + warp < lanes ? first + warp : lanes;
      const i64 start = moves;
      for (i64 before = -1; before != moves;) {
        before = moves;
        for (i32 lane = end - 1; lane >= first; lane--) {
          if (ended[lane]) continue;
          go_on(lane);
          if (ended[lane]) going--;
        }
      }
      idle = moves == start ? idle + 1 : 0;
      if (idle > 64 * warps) exit(3);
    }
  }
}
