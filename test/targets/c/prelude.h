// What every kernel printed as C stands on: types, vectors as structs, values in memory, and lanes as threads that meet.
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef float f32;
typedef int32_t i32;
typedef uint32_t u32;
typedef uint16_t bf16;
typedef uint16_t f16;

static __thread i32 lane;
static pthread_barrier_t meeting;
static inline void barrier(void) { pthread_barrier_wait(&meeting); }

static inline u32 bits(f32 x) { u32 b; memcpy(&b, &x, 4); return b; }
static inline f32 fromBits(u32 b) { f32 x; memcpy(&x, &b, 4); return x; }

static inline f32 load_bf16(bf16 w) { return fromBits((u32)w << 16); }
static inline bf16 save_bf16(f32 x) {
  u32 b = bits(x);
  if (x != x) return (bf16)((b >> 16) | 0x40u);
  return (bf16)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}
static inline f32 load_f16(f16 w) {
  u32 size = w & 0x7fffu;
  f32 x = size >= 0x7c00u ? fromBits((size << 13) + 0x70000000u) : fromBits(size << 13) * 0x1p112f;
  return (w & 0x8000u) != 0 ? -x : x;
}
// Below 2^-14 an addition aligns the value to multiples of 2^-24 and rounds it.
static inline f16 save_f16(f32 x) {
  u32 b = bits(x), m = b & 0x7fffffffu, sign = (b >> 16) & 0x8000u;
  if (m > 0x7f800000u) return (f16)(sign | 0x7e00u);
  if (m >= 0x47800000u) return (f16)(sign | 0x7c00u);
  if (m < 0x38800000u) return (f16)(sign | (bits(fromBits(m) + 0.5f) - 0x3f000000u));
  return (f16)(sign | ((m + 0xc8000fffu + ((m >> 13) & 1u)) >> 13));
}
static inline f32 load_f32(f32 x) { return x; }
static inline f32 save_f32(f32 x) { return x; }
static inline i32 load_i32(i32 x) { return x; }
static inline i32 save_i32(i32 x) { return x; }
static inline u32 load_u32(u32 x) { return x; }
static inline u32 save_u32(u32 x) { return x; }
static inline bool load_bool(u32 x) { return x != 0; }
static inline u32 save_bool(bool x) { return x ? 1 : 0; }

// The value of another lane: all leave theirs, all meet, all take one, and meet again before the next.
#define EXCHANGE(T) \
  static inline T exchange_##T(T x, i32 mask) { \
    static T left[1024]; \
    left[lane] = x; \
    barrier(); \
    T other = left[lane ^ mask]; \
    barrier(); \
    return other; \
  }
#define VECTOR(T, N) \
  typedef struct { T at[N]; } T##x##N; \
  static inline T##x##N splat_##T##x##N(T x) { \
    T##x##N v; \
    for (int i = 0; i < N; i++) v.at[i] = x; \
    return v; \
  } \
  EXCHANGE(T##x##N)
// `width` elements of an array of STORED, whose offset is a multiple of it.
#define ACCESS(STORAGE, STORED, T, N) \
  static inline T##x##N load_##STORAGE##x##N(const STORED *from) { \
    T##x##N v; \
    for (int i = 0; i < N; i++) v.at[i] = load_##STORAGE(from[i]); \
    return v; \
  } \
  static inline void save_##STORAGE##x##N(STORED *to, T##x##N v) { \
    for (int i = 0; i < N; i++) to[i] = save_##STORAGE(v.at[i]); \
  }
#define WIDTHS(T) EXCHANGE(T) VECTOR(T, 2) VECTOR(T, 4) VECTOR(T, 8)
#define ACCESSES(STORAGE, STORED, T) ACCESS(STORAGE, STORED, T, 2) ACCESS(STORAGE, STORED, T, 4) ACCESS(STORAGE, STORED, T, 8)
WIDTHS(f32)
WIDTHS(i32)
WIDTHS(u32)
WIDTHS(bool)
ACCESSES(f32, f32, f32)
ACCESSES(bf16, bf16, f32)
ACCESSES(f16, f16, f32)
ACCESSES(i32, i32, i32)
ACCESSES(u32, u32, u32)
ACCESSES(bool, u32, bool)

// A launch: one workgroup after the other, each of as many threads as it has lanes.
typedef struct { void (*kernel)(i32 workgroup); i32 lane, groups; } Launched;
static void *one_lane(void *given) {
  Launched *l = (Launched *)given;
  lane = l->lane;
  for (i32 group = 0; group < l->groups; group++) {
    l->kernel(group);
    barrier();
  }
  return NULL;
}
static void launch(void (*kernel)(i32 workgroup), i32 lanes, i32 groups) {
  pthread_t threads[1024];
  Launched launched[1024];
  pthread_barrier_init(&meeting, NULL, (unsigned)lanes);
  for (i32 i = 0; i < lanes; i++) {
    launched[i] = (Launched){kernel, i, groups};
    if (pthread_create(&threads[i], NULL, one_lane, &launched[i]) != 0) exit(3);
  }
  for (i32 i = 0; i < lanes; i++) pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&meeting);
}
