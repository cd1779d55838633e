/**
 * What every kernel that is printed as CUDA stands on: C++ without headers. All that only a GPU has (registers of its own, PTX, exchange between
 * lanes) is in the named functions of `machine`; the rest of it (`common`) any compiler of C++ takes, and a processor runs what a kernel says
 * with other functions of these names.
 *
 *   machine   lane_number()  barrier()  exchange(x, 16)  steady(p)  await_launches()  narrow_bf16(x)
 *   common    f32x4  load<4>(x + i)  store(y + i, v)  splat<f32x4>(2.0f)  a * b  select(c, a, b)
 */

import { firstBit, smallestBits, turnWords } from "../angle.js"
import { partsOf } from "./parts.js"

/** Types that both parts know. */
const types = `typedef float f32;
typedef int i32;
typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;
// Values in memory: halves, and a bool as a word.
struct bf16 { u16 word; };
struct f16 { u16 word; };
struct truth { u32 word; };
// What one access moves.
struct alignas(8) Words2 { u32 at[2]; };
struct alignas(16) Words4 { u32 at[4]; };
`

/** Functions of the device, one instruction each. */
const deviceFunctions = `#define CONSTANT static __constant__ const
#define FUNCTION __device__ __forceinline__
#define KERNEL(lanes, resident) extern "C" __global__ void __launch_bounds__(lanes, resident)
extern __shared__ Words4 shared_pool[];
FUNCTION i32 lane_number() { return (i32)threadIdx.x; }
FUNCTION i32 workgroup_number() { return (i32)blockIdx.x; }
FUNCTION i32 workgroup_count() { return (i32)gridDim.x; }
FUNCTION void barrier() { __syncthreads(); }
FUNCTION void add_together(i32* p, i32 x) { atomicAdd(p, x); }
FUNCTION void add_together(u32* p, u32 x) { atomicAdd(p, x); }
FUNCTION u32 exchange_word(u32 x, i32 mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
FUNCTION u32 bits(f32 x) { return __float_as_uint(x); }
FUNCTION f32 from_bits(u32 x) { return __uint_as_float(x); }
// Nothing that launches before this one write may be touched before it waits for them; those after it may start when all have released them.
FUNCTION void await_launches() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
FUNCTION void release_launches() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
FUNCTION void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" :: "l"(p)); }
// Of memory that no launch writes; \`once\`: what one workgroup alone reads, a single time. No assembly that the compiler takes for arithmetic: it would
// bring that in front of the condition under which it is done, and read where there is nothing.
FUNCTION u16 steady(const u16* p) { return __ldg(p); }
FUNCTION u32 steady(const u32* p) { return __ldg(p); }
FUNCTION Words2 steady(const Words2* p) {
  const uint2 x = __ldg((const uint2*)p);
  return {{x.x, x.y}};
}
FUNCTION Words4 steady(const Words4* p) {
  const uint4 x = __ldg((const uint4*)p);
  return {{x.x, x.y, x.z, x.w}};
}
FUNCTION u16 once(const u16* p) { u16 x; asm volatile("ld.global.nc.L1::no_allocate.u16 %0, [%1];" : "=h"(x) : "l"(p)); return x; }
FUNCTION u32 once(const u32* p) { u32 x; asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(x) : "l"(p)); return x; }
FUNCTION Words2 once(const Words2* p) {
  Words2 x;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(x.at[0]), "=r"(x.at[1]) : "l"(p));
  return x;
}
FUNCTION Words4 once(const Words4* p) {
  Words4 x;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.at[0]), "=r"(x.at[1]), "=r"(x.at[2]), "=r"(x.at[3]) : "l"(p));
  return x;
}
// Of memory of which other lanes read the rest of 128 bytes: all of them come.
FUNCTION Words4 once_of_line(const Words4* p) {
  Words4 x;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.at[0]), "=r"(x.at[1]), "=r"(x.at[2]), "=r"(x.at[3]) : "l"(p));
  return x;
}
FUNCTION u16 narrow_bf16(f32 x) { u16 y; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
FUNCTION u16 narrow_f16(f32 x) { u16 y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
FUNCTION f32 widen_f16(u16 x) { f32 y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x)); return y; }
FUNCTION u32 narrow_two_bf16(f32 low, f32 high) { u32 y; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low)); return y; }
FUNCTION u32 narrow_two_f16(f32 low, f32 high) { u32 y; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low)); return y; }
FUNCTION f32 power_of_two(f32 x) { f32 y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
FUNCTION f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }
FUNCTION f32 smaller(f32 a, f32 b) { f32 y; asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
FUNCTION f32 larger(f32 a, f32 b) { f32 y; asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
FUNCTION f32 larger_of_numbers(f32 a, f32 b) { f32 y; asm("max.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
FUNCTION i32 to_signed(f32 x) { i32 y; asm("cvt.rzi.s32.f32 %0, %1;" : "=r"(y) : "f"(x)); return y; }
FUNCTION u32 to_unsigned(f32 x) { u32 y; asm("cvt.rzi.u32.f32 %0, %1;" : "=r"(y) : "f"(x)); return y; }
FUNCTION f32 absolute(f32 x) { return fabsf(x); }
FUNCTION f32 lowered(f32 x) { return floorf(x); }
FUNCTION f32 raised(f32 x) { return ceilf(x); }
FUNCTION f32 rounded(f32 x) { return rintf(x); }
FUNCTION f32 truncated(f32 x) { return truncf(x); }
FUNCTION f32 root(f32 x) { return sqrtf(x); }
FUNCTION f32 remainder_of(f32 a, f32 b) { return fmodf(a, b); }
`

/** Functions made of those above, and vectors. */
const common = `#define EACH(N) _Pragma("unroll") for (i32 i = 0; i < N; i++)
template <class T, int N> struct Vector {
  typedef T element;
  T at[N];
};
#define VECTORS(T) typedef Vector<T, 2> T##x2; typedef Vector<T, 4> T##x4; typedef Vector<T, 8> T##x8;
VECTORS(f32) VECTORS(i32) VECTORS(u32) VECTORS(bool)
template <class V> FUNCTION V splat(typename V::element x) { V v; EACH((int)(sizeof(v.at) / sizeof(x))) v.at[i] = x; return v; }
template <int N> FUNCTION Vector<i32, N> ramp(i32 of) { Vector<i32, N> v; EACH(N) v.at[i] = of + i; return v; }

// Operators and functions of scalars, lane by lane.
#define OPERATOR(sign) template <class T, int N> FUNCTION Vector<T, N> operator sign(const Vector<T, N>& a, const Vector<T, N>& b) { \\
  Vector<T, N> v; EACH(N) v.at[i] = a.at[i] sign b.at[i]; return v; }
#define COMPARISON(sign) template <class T, int N> FUNCTION Vector<bool, N> operator sign(const Vector<T, N>& a, const Vector<T, N>& b) { \\
  Vector<bool, N> v; EACH(N) v.at[i] = a.at[i] sign b.at[i]; return v; }
#define PREFIX(sign) template <class T, int N> FUNCTION Vector<T, N> operator sign(const Vector<T, N>& a) { \\
  Vector<T, N> v; EACH(N) v.at[i] = sign a.at[i]; return v; }
#define OF_ONE(name) template <class T, int N> FUNCTION auto name(const Vector<T, N>& a) -> Vector<decltype(name(a.at[0])), N> { \\
  Vector<decltype(name(a.at[0])), N> v; EACH(N) v.at[i] = name(a.at[i]); return v; }
#define OF_TWO(name) template <class T, int N> FUNCTION Vector<T, N> name(const Vector<T, N>& a, const Vector<T, N>& b) { \\
  Vector<T, N> v; EACH(N) v.at[i] = name(a.at[i], b.at[i]); return v; }
OPERATOR(+) OPERATOR(-) OPERATOR(*) OPERATOR(/) OPERATOR(%) OPERATOR(&) OPERATOR(|) OPERATOR(^)
COMPARISON(<) COMPARISON(<=) COMPARISON(>) COMPARISON(>=) COMPARISON(==) COMPARISON(!=)
PREFIX(-) PREFIX(~) PREFIX(!)
template <class T, int N> FUNCTION Vector<T, N> select(const Vector<bool, N>& c, const Vector<T, N>& a, const Vector<T, N>& b) {
  Vector<T, N> v; EACH(N) v.at[i] = c.at[i] ? a.at[i] : b.at[i]; return v;
}
template <class T, int N> FUNCTION Vector<T, N> select(bool c, const Vector<T, N>& a, const Vector<T, N>& b) {
  Vector<T, N> v; EACH(N) v.at[i] = c ? a.at[i] : b.at[i]; return v;
}
template <class V, class T, int N> FUNCTION V convert(const Vector<T, N>& a) { V v; EACH(N) v.at[i] = (typename V::element)a.at[i]; return v; }

// Integers that may wrap, and divisors that may be 0.
FUNCTION i32 wrapped_sum(i32 a, i32 b) { return (i32)((u32)a + (u32)b); }
FUNCTION i32 wrapped_difference(i32 a, i32 b) { return (i32)((u32)a - (u32)b); }
FUNCTION i32 wrapped_product(i32 a, i32 b) { return (i32)((u32)a * (u32)b); }
FUNCTION i32 wrapped_negative(i32 a) { return (i32)(0u - (u32)a); }
FUNCTION i32 quotient(i32 a, i32 b) { return b == 0 ? a : b == -1 ? wrapped_negative(a) : a / b; }
FUNCTION u32 quotient(u32 a, u32 b) { return b == 0u ? a : a / b; }
FUNCTION i32 remainder_of(i32 a, i32 b) { return b == 0 || b == -1 ? 0 : a % b; }
FUNCTION u32 remainder_of(u32 a, u32 b) { return b == 0u ? 0u : a % b; }
FUNCTION i32 floor_quotient(i32 a, i32 b) { i32 q = a / b; return q - (a - q * b < 0 ? 1 : 0); }
FUNCTION i32 floor_remainder(i32 a, i32 b) { i32 r = a % b; return r < 0 ? r + b : r; }
FUNCTION i32 smaller(i32 a, i32 b) { return a < b ? a : b; }
FUNCTION u32 smaller(u32 a, u32 b) { return a < b ? a : b; }
FUNCTION i32 larger(i32 a, i32 b) { return a < b ? b : a; }
FUNCTION u32 larger(u32 a, u32 b) { return a < b ? b : a; }
FUNCTION i32 absolute(i32 a) { return a < 0 ? wrapped_negative(a) : a; }
FUNCTION i32 shifted_left(i32 a, i32 by) { return (i32)((u32)a << (by & 31)); }
FUNCTION u32 shifted_left(u32 a, u32 by) { return a << (by & 31u); }
FUNCTION i32 shifted_right(i32 a, i32 by) { return a >> (by & 31); }
FUNCTION u32 shifted_right(u32 a, u32 by) { return a >> (by & 31u); }

// Functions of f32.
FUNCTION bool is_nan(f32 x) { return (bits(x) & 0x7fffffffu) > 0x7f800000u; }
FUNCTION f32 half(f32 x) { return widen_f16(narrow_f16(x)); }
// 2^(x log2 e): the product is rounded, and what that leaves behind, a multiple of ln 2 of its last bit, is one more factor.
FUNCTION f32 exponential(f32 x) {
  f32 c = larger(x, -104.0f);
  f32 whole = c * 1.44269504f;
  f32 power = power_of_two(whole);
  f32 rest = fused(whole, 1.90465421e-9f, fused(whole, -0.693147182f, c));
  return x > 88.7228317f ? from_bits(0x7f800000u) : fused(power, rest, power);
}
// By 1/2pi as far as the fraction of a turn needs it; angles below 2^17 stay what they are.
CONSTANT u32 turn_words[8] = {${["0", ...turnWords, "0"].map((w) => `${w}u`).join(", ")}};
FUNCTION f32 angle(f32 x) {
  const u32 b = bits(x) & 0x7fffffffu;
  if (b < ${smallestBits}u) return x;
  if (b >= 0x7f800000u) return from_bits(b | 0x7fc00000u);
  const u32 at = (b >> 23) - ${-firstBit(32)}u, i = at >> 5, s = at & 31u;
  const u32 high = (turn_words[i] << s) | ((turn_words[i + 1] >> 1) >> (31u - s));
  const u32 low = ((turn_words[i + 1] << s) | ((turn_words[i + 2] >> 1) >> (31u - s))) >> 12;
  const u32 m = (b & 0x7fffffu) | 0x800000u;
  const i32 turn = (i32)(m * high + (((m >> 12) * low) >> 8) + (((m & 0xfffu) * low) >> 20));
  return from_bits(bits((f32)turn * ${Math.fround((2 * Math.PI) / 2 ** 32)}f) ^ (bits(x) & 0x80000000u));
}
OF_ONE(bits) OF_ONE(from_bits) OF_ONE(to_signed) OF_ONE(to_unsigned)
OF_ONE(absolute) OF_ONE(lowered) OF_ONE(raised) OF_ONE(rounded) OF_ONE(truncated) OF_ONE(root)
OF_TWO(smaller) OF_TWO(larger) OF_TWO(larger_of_numbers) OF_TWO(remainder_of)
OF_TWO(wrapped_sum) OF_TWO(wrapped_difference) OF_TWO(wrapped_product) OF_ONE(wrapped_negative)
OF_TWO(quotient) OF_TWO(floor_quotient) OF_TWO(floor_remainder) OF_TWO(shifted_left) OF_TWO(shifted_right)
OF_ONE(is_nan) OF_ONE(half) OF_ONE(exponential) OF_ONE(power_of_two) OF_ONE(angle)

// How the words of an access arrive.
struct Plain { template <class W> static FUNCTION W get(const W* p) { return *p; } };
struct Steady { template <class W> static FUNCTION W get(const W* p) { return steady(p); } };
struct Once { template <class W> static FUNCTION W get(const W* p) { return once(p); } };
struct OnceOfLine { static FUNCTION Words4 get(const Words4* p) { return once_of_line(p); } };
template <class How> FUNCTION void words_at(const u32* p, u32 (&w)[1]) { w[0] = How::get(p); }
template <class How> FUNCTION void words_at(const u32* p, u32 (&w)[2]) { const Words2 x = How::get((const Words2*)p); EACH(2) w[i] = x.at[i]; }
template <class How> FUNCTION void words_at(const u32* p, u32 (&w)[4]) { const Words4 x = How::get((const Words4*)p); EACH(4) w[i] = x.at[i]; }
template <class How> FUNCTION void words_at(const u32* p, u32 (&w)[8]) {
  const Words4 x = How::get((const Words4*)p), y = How::get((const Words4*)p + 1);
  EACH(4) { w[i] = x.at[i]; w[i + 4] = y.at[i]; }
}
FUNCTION void put_words(u32* p, const u32 (&w)[1]) { p[0] = w[0]; }
FUNCTION void put_words(u32* p, const u32 (&w)[2]) { Words2 x; EACH(2) x.at[i] = w[i]; *(Words2*)p = x; }
FUNCTION void put_words(u32* p, const u32 (&w)[4]) { Words4 x; EACH(4) x.at[i] = w[i]; *(Words4*)p = x; }
FUNCTION void put_words(u32* p, const u32 (&w)[8]) {
  Words4 x, y;
  EACH(4) { x.at[i] = w[i]; y.at[i] = w[i + 4]; }
  ((Words4*)p)[0] = x;
  ((Words4*)p)[1] = y;
}

// N values from an offset that is a multiple of N; one is \`load(p)\`.
#define OF_WORDS(S, T, decode, encode) \\
  template <class How> FUNCTION T load(const S* p) { u32 w[1]; words_at<How>((const u32*)p, w); return decode(w[0]); } \\
  template <int N, class How = Plain> FUNCTION Vector<T, N> load(const S* p) { \\
    u32 w[N]; words_at<How>((const u32*)p, w); \\
    Vector<T, N> v; EACH(N) v.at[i] = decode(w[i]); return v; } \\
  FUNCTION void store(S* p, T x) { *(u32*)p = encode(x); } \\
  template <int N> FUNCTION void store(S* p, const Vector<T, N>& v) { u32 w[N]; EACH(N) w[i] = encode(v.at[i]); put_words((u32*)p, w); }
#define OF_HALVES(S, low, high, single, narrow, narrow_two) \\
  template <class How> FUNCTION f32 load(const S* p) { return single(How::get((const u16*)p)); } \\
  template <int N, class How = Plain> FUNCTION Vector<f32, N> load(const S* p) { \\
    u32 w[N / 2]; words_at<How>((const u32*)p, w); \\
    Vector<f32, N> v; EACH(N / 2) { v.at[2 * i] = low(w[i]); v.at[2 * i + 1] = high(w[i]); } return v; } \\
  FUNCTION void store(S* p, f32 x) { p->word = narrow(x); } \\
  template <int N> FUNCTION void store(S* p, const Vector<f32, N>& v) { \\
    u32 w[N / 2]; EACH(N / 2) w[i] = narrow_two(v.at[2 * i], v.at[2 * i + 1]); put_words((u32*)p, w); }
FUNCTION u32 same(u32 x) { return x; }
FUNCTION i32 signed_word(u32 x) { return (i32)x; }
FUNCTION u32 word_of(i32 x) { return (u32)x; }
FUNCTION bool is_set(u32 x) { return x != 0u; }
FUNCTION u32 word_of(bool x) { return x ? 1u : 0u; }
FUNCTION f32 low_bf16(u32 x) { return from_bits(x << 16); }
FUNCTION f32 high_bf16(u32 x) { return from_bits(x & 0xffff0000u); }
FUNCTION f32 widen_bf16(u16 x) { return from_bits((u32)x << 16); }
FUNCTION f32 low_f16(u32 x) { return widen_f16((u16)x); }
FUNCTION f32 high_f16(u32 x) { return widen_f16((u16)(x >> 16)); }
OF_WORDS(f32, f32, from_bits, bits)
OF_WORDS(i32, i32, signed_word, word_of)
OF_WORDS(u32, u32, same, same)
OF_WORDS(truth, bool, is_set, word_of)
OF_HALVES(bf16, low_bf16, high_bf16, widen_bf16, narrow_bf16, narrow_two_bf16)
OF_HALVES(f16, low_f16, high_f16, widen_f16, narrow_f16, narrow_two_f16)
// Of an array in registers: element by element, so that it stays there.
template <int N, class S> FUNCTION auto gather(const S* p) -> Vector<decltype(load<Plain>(p)), N> {
  Vector<decltype(load<Plain>(p)), N> v; EACH(N) v.at[i] = load<Plain>(p + i); return v;
}
template <class S, class T, int N> FUNCTION void scatter(S* p, const Vector<T, N>& v) { EACH(N) store(p + i, v.at[i]); }

// The value of the lane whose number differs by \`mask\`.
FUNCTION f32 exchange(f32 x, i32 mask) { return from_bits(exchange_word(bits(x), mask)); }
FUNCTION i32 exchange(i32 x, i32 mask) { return (i32)exchange_word((u32)x, mask); }
FUNCTION u32 exchange(u32 x, i32 mask) { return exchange_word(x, mask); }
FUNCTION bool exchange(bool x, i32 mask) { return exchange_word(x ? 1u : 0u, mask) != 0u; }
template <class T, int N> FUNCTION Vector<T, N> exchange(const Vector<T, N>& x, i32 mask) { Vector<T, N> v; EACH(N) v.at[i] = exchange(x.at[i], mask); return v; }
`

/** The text before kernels whose functions of the machine are these; without them, those of a GPU. */
export function preludeWith(parts: Iterable<string>, functions?: string): string {
  const used = partsOf(parts)
  const texts = (of: "types" | "machine" | "common"): readonly string[] =>
    used.flatMap((part) => (part[of] === undefined ? [] : [part[of]]))
  return [
    [types, ...texts("types")].join(""),
    functions ?? [deviceFunctions, ...texts("machine")].join(""),
    [common, ...texts("common")].join(""),
  ].join("\n")
}

/** The text that stands once before the kernels of a translation unit of none but ordinary loops. */
export const prelude: string = preludeWith([])
