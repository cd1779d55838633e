/**
 * Helper functions that the printed text calls.
 *
 *   widenBf16(word)       two bf16 values of a 32-bit word, exactly
 *   packBf16(pair)        two f32 values rounded to nearest even, in one word
 *   floorDivide4(a, b)    ⌊a / b⌋ lane by lane for b > 0
 *   quotient4(a, b)       a / b lane by lane, for divisors beyond 2^126, too
 *   larger4(a, b)         the maximum lane by lane, NaN where one of them is
 *
 * Rounding is done by integer operations: what `pack2x16float` does with a value that lies between two f16 is the driver's choice.
 */
import { firstBit, smallestBits, turnWords } from "../angle.js"
import type { Helper } from "../text/library.js"
import { typeText } from "./types.js"

const bf16Bits = `fn bf16Bits(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  return select((b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u, (b >> 16u) | 0x40u, (b & 0x7fffffffu) > 0x7f800000u);
}`

const halfBits = `fn halfBits(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  let m = b & 0x7fffffffu;
  let small = bitcast<u32>(bitcast<f32>(min(m, 0x38800000u)) + 0.5f) - 0x3f000000u;
  let normal = (m + 0xc8000fffu + ((m >> 13u) & 1u)) >> 13u;
  let large = select(0x7c00u, 0x7e00u, m > 0x7f800000u);
  return ((b >> 16u) & 0x8000u) | select(select(normal, small, m < 0x38800000u), large, m >= 0x47800000u);
}`

/** The bits of 1/2π that make the fraction are the same for all angles of one exponent (angle.ts); 2^-28 of a turn is left behind. */
const angle = `fn angle(x: f32) -> f32 {
  let b = bitcast<u32>(x) & 0x7fffffffu;
  if (b < ${smallestBits}u) { return x; }
  if (b >= 0x7f800000u) { return bitcast<f32>(b | 0x7fc00000u); }
  var words = array<u32, 7>(${["0", ...turnWords].map((w) => `${w}u`).join(", ")});
  let at = (b >> 23u) - ${-firstBit(32)}u;
  let i = at >> 5u;
  let s = at & 31u;
  let high = (words[i] << s) | ((words[i + 1u] >> 1u) >> (31u - s));
  let low = ((words[i + 1u] << s) | ((words[i + 2u] >> 1u) >> (31u - s))) >> 12u;
  let m = (b & 0x7fffffu) | 0x800000u;
  let turn = bitcast<i32>(m * high + (((m >> 12u) * low) >> 8u) + (((m & 0xfffu) * low) >> 20u));
  return bitcast<f32>(bitcast<u32>(f32(turn) * ${(2 * Math.PI) / 2 ** 32}f) ^ (bitcast<u32>(x) & 0x80000000u));
}`

/** JavaScript's %, of the mantissas as integers: eight bits of the quotient at a time. */
const remainder = `fn remainder(a: f32, b: f32) -> f32 {
  let x = bitcast<u32>(a) & 0x7fffffffu;
  let y = bitcast<u32>(b) & 0x7fffffffu;
  if (x >= 0x7f800000u || y > 0x7f800000u || y == 0u) { return bitcast<f32>(x | y | 0x7fc00000u); }
  if (x < y) { return a; }
  let e = max(y >> 23u, 1u);
  let divisor = select(y, (y & 0x7fffffu) | 0x800000u, y >= 0x800000u);
  var left = max(x >> 23u, 1u) - e;
  var r = select(x, (x & 0x7fffffu) | 0x800000u, x >= 0x800000u) % divisor;
  while (left > 0u) {
    let some = min(left, 8u);
    r = (r << some) % divisor;
    left -= some;
  }
  let sign = bitcast<u32>(a) & 0x80000000u;
  if (r == 0u) { return bitcast<f32>(sign); }
  let up = min(countLeadingZeros(r) - 8u, e - 1u);
  let raised = r << up;
  return bitcast<f32>(sign | select(raised, (raised & 0x7fffffu) | ((e - up) << 23u), raised >= 0x800000u));
}`

const plain: Readonly<Record<string, string>> = {
  bf16Bits,
  halfBits,
  angle,
  remainder,
  packBf16: "fn packBf16(x: vec2<f32>) -> u32 { return bf16Bits(x.x) | (bf16Bits(x.y) << 16u); }",
  packF16: "fn packF16(x: vec2<f32>) -> u32 { return halfBits(x.x) | (halfBits(x.y) << 16u); }",
  widenBf16:
    "fn widenBf16(w: u32) -> vec2<f32> { return vec2<f32>(bitcast<f32>(w << 16u), bitcast<f32>(w & 0xffff0000u)); }",
  widenF16: "fn widenF16(w: u32) -> vec2<f32> { return unpack2x16float(w); }",
  widenBf16x4: "fn widenBf16x4(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(widenBf16(w.x), widenBf16(w.y)); }",
  widenF16x4: "fn widenF16x4(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(widenF16(w.x), widenF16(w.y)); }",
}

const needs: Readonly<Record<string, readonly string[]>> = {
  packBf16: ["bf16Bits"],
  packF16: ["halfBits"],
  widenBf16x4: ["widenBf16"],
  widenF16x4: ["widenF16"],
}

type Types = (dtype: "f32" | "i32" | "u32" | "bool") => string

const notNumber = (t: Types, x: string) =>
  `(bitcast<${t("u32")}>(${x}) & ${t("u32")}(0x7fffffffu)) > ${t("u32")}(0x7f800000u)`

/** Of equal numbers, which are 0 and −0 or alike, the signs are what is combined. */
const extremum = (
  t: Types,
  name: string,
  of: "min" | "max",
  signs: "&" | "|",
) => `fn ${name}(a: ${t("f32")}, b: ${t("f32")}) -> ${t("f32")} {
  let same = bitcast<${t("f32")}>(bitcast<${t("u32")}>(a) ${signs} bitcast<${t("u32")}>(b));
  let number = select(${of}(a, b), same, a == b);
  return select(select(number, b, ${notNumber(t, "b")}), a, ${notNumber(t, "a")});
}`

/** A function of one number, given to a vector in its parts. */
function inParts(name: string, width: number): string {
  const type = typeText("f32", width)
  const list = name === "remainder" ? ["a", "b"] : ["x"]
  const parts = [..."xyzw"].slice(0, width).map((p) => `${name}(${list.map((v) => `${v}.${p}`).join(", ")})`)
  return `fn ${name}${width}(${list.map((v) => `${v}: ${type}`).join(", ")}) -> ${type} { return ${type}(${parts.join(", ")}); }`
}

/** Functions that exist for every width. */
const perWidth: Readonly<Record<string, (type: Types, name: string) => string>> = {
  floorDivide: (t, name) =>
    `fn ${name}(a: ${t("i32")}, b: ${t("i32")}) -> ${t("i32")} { let q = a / b; return q - select(${t("i32")}(), ${t("i32")}(1), (a - q * b) < ${t("i32")}()); }`,
  floorModulo: (t, name) =>
    `fn ${name}(a: ${t("i32")}, b: ${t("i32")}) -> ${t("i32")} { let r = a % b; return r + select(${t("i32")}(), b, r < ${t("i32")}()); }`,
  quotient: (t, name) =>
    `fn ${name}(a: ${t("f32")}, b: ${t("f32")}) -> ${t("f32")} { let s = select(${t("f32")}(1f), ${t("f32")}(0.25f), abs(b) > ${t("f32")}(${2 ** 125}f)); return (a * s) / (b * s); }`,
  larger: (t, name) => extremum(t, name, "max", "&"),
  smaller: (t, name) => extremum(t, name, "min", "|"),
  bounded: (t, name) =>
    `fn ${name}(x: ${t("f32")}, low: ${t("f32")}, high: ${t("f32")}) -> ${t("f32")} {
  return select(clamp(x, low, high), x, ${notNumber(t, "x")});
}`,
  // Dawn clamps to the largest f32 below the limit; the table saturates at the limit itself.
  toSigned: (t, name) =>
    `fn ${name}(x: ${t("f32")}) -> ${t("i32")} {
  let i = select(${t("i32")}(x), ${t("i32")}(2147483647), x >= ${t("f32")}(2147483648f));
  return select(i, ${t("i32")}(), (bitcast<${t("u32")}>(x) & ${t("u32")}(0x7fffffffu)) > ${t("u32")}(0x7f800000u));
}`,
  toUnsigned: (t, name) =>
    `fn ${name}(x: ${t("f32")}) -> ${t("u32")} {
  let i = select(${t("u32")}(x), ${t("u32")}(4294967295u), x >= ${t("f32")}(4294967296f));
  return select(i, ${t("u32")}(), (bitcast<${t("u32")}>(x) & ${t("u32")}(0x7fffffffu)) > ${t("u32")}(0x7f800000u));
}`,
}

/** A function by its stem and the width of what it is given. */
export function wgslHelper(stem: string, width: number): Helper {
  const wide = perWidth[stem]
  const name = width === 1 ? stem : `${stem}${width}`
  if (wide !== undefined) return { name, text: wide((dtype) => typeText(dtype, width), name) }
  if (width > 1) return { name, text: inParts(stem, width), needs: [stem] }
  return { name, text: plain[stem]!, needs: needs[stem] ?? [] }
}
