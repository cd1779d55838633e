/**
 * Helper functions that the printed text calls, each emitted once and only when it is used.
 *
 *   widenBf16(word)       two bf16 values of a 32-bit word, exactly
 *   packBf16(pair)        two f32 values rounded to nearest even, in one word
 *   floorDivide4(a, b)    ⌊a / b⌋ lane by lane for b > 0
 *
 * Rounding is done by integer operations: what `pack2x16float` does with a value that lies between two f16 is the driver's choice.
 */
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

const plain: Readonly<Record<string, string>> = {
  bf16Bits,
  halfBits,
  packBf16: "fn packBf16(x: vec2<f32>) -> u32 { return bf16Bits(x.x) | (bf16Bits(x.y) << 16u); }",
  packF16: "fn packF16(x: vec2<f32>) -> u32 { return halfBits(x.x) | (halfBits(x.y) << 16u); }",
  widenBf16:
    "fn widenBf16(w: u32) -> vec2<f32> { return vec2<f32>(bitcast<f32>(w << 16u), bitcast<f32>(w & 0xffff0000u)); }",
  widenF16: "fn widenF16(w: u32) -> vec2<f32> { return unpack2x16float(w); }",
  widenBf16x4: "fn widenBf16x4(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(widenBf16(w.x), widenBf16(w.y)); }",
  widenF16x4: "fn widenF16x4(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(widenF16(w.x), widenF16(w.y)); }",
}

const needs: Readonly<Record<string, string>> = {
  packBf16: "bf16Bits",
  packF16: "halfBits",
  widenBf16x4: "widenBf16",
  widenF16x4: "widenF16",
}

/** Functions that exist for every width. */
const perWidth: Readonly<
  Record<string, (type: (dtype: "f32" | "i32" | "u32" | "bool") => string, name: string) => string>
> = {
  floorDivide: (t, name) =>
    `fn ${name}(a: ${t("i32")}, b: ${t("i32")}) -> ${t("i32")} { let q = a / b; return q - select(${t("i32")}(), ${t("i32")}(1), (a - q * b) < ${t("i32")}()); }`,
  floorModulo: (t, name) =>
    `fn ${name}(a: ${t("i32")}, b: ${t("i32")}) -> ${t("i32")} { let r = a % b; return r + select(${t("i32")}(), b, r < ${t("i32")}()); }`,
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

export interface Library {
  /** The name to call; asks for the text. */
  use(name: string): string
  useWide(stem: string, width: number): string
  text(): readonly string[]
}

export function createLibrary(): Library {
  const used = new Map<string, string>()
  const use = (name: string): string => {
    if (needs[name] !== undefined) use(needs[name])
    used.set(name, plain[name]!)
    return name
  }
  return {
    use,
    useWide(stem, width) {
      const name = width === 1 ? stem : `${stem}${width}`
      used.set(
        name,
        perWidth[stem]!((dtype) => typeText(dtype, width), name),
      )
      return name
    },
    text: () => [...used.values()],
  }
}
