/**
 * Types and literals as WGSL text.
 *
 *   f32, width 4   → vec4<f32>
 *   0.1 (f32)      → 0.1f          the shortest decimal that rounds to the same f32
 *   -3  (i32)      → (-3)
 *   1   (bool)     → true
 *   ∞   (f32)      → infinity     a name, for WGSL refuses constants that are not finite (`lateNumbers`)
 */

import type { Literal } from "../../ir/nodes.js"
import { type DType, largest } from "../../ir/operations.js"

export function typeText(dtype: DType, width: number): string {
  return width === 1 ? dtype : `vec${width}<${dtype}>`
}

export function literalText({ dtype, value }: Literal): string {
  switch (dtype) {
    case "bool":
      return value === 0 ? "false" : "true"
    case "u32":
      return `${value}u`
    case "i32":
      return value < 0 ? `(${value})` : String(value)
    case "f32":
      return floatText(value)
    default:
      return dtype satisfies never
  }
}

/** Numbers that no text of WGSL can be, or that its compilers lose: their bits arrive at run time, by way of a `zero` that no compiler knows. */
export const lateNumbers: ReadonlyMap<string, string> = new Map(
  Object.entries({
    infinity: "0x7f800000u",
    minusInfinity: "0xff800000u",
    notANumber: "0x7fc00000u",
    minusZero: "0x80000000u",
  }).map(([name, bits]) => [name, `let ${name} = bitcast<f32>(${bits} | bitcast<u32>(zero));`]),
)

const smallestNormal = 2 ** -126

function floatText(value: number): string {
  if (Number.isNaN(value)) return "notANumber"
  if (!Number.isFinite(value)) return value > 0 ? "infinity" : "minusInfinity"
  // A compiler that finds −0 among its constants may take it for 0.
  if (Object.is(value, -0)) return "minusZero"
  // Subnormals may be flushed where decimals are read.
  if (value !== 0 && Math.abs(value) < smallestNormal) return `bitcast<f32>(${bitsOf(value)}u)`
  const text = `${shortest(Math.abs(value))}f`
  return value < 0 ? `(-${text})` : text
}

function bitsOf(value: number): number {
  return new Uint32Array(new Float32Array([value]).buffer)[0]!
}

function shortest(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits)
    // WGSL refuses a decimal above the largest f32, even one that would round down to it.
    if (Math.fround(Number(text)) === value && Number(text) <= largest) return String(Number(text))
  }
  return String(value)
}

/** The text without parentheses around the whole of it. */
export function bare(text: string): string {
  if (text[0] !== "(") return text
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++
    else if (text[i] === ")" && --depth === 0) return i === text.length - 1 ? text.slice(1, -1) : text
  }
  return text
}

/** The text between commas: a `<` there could be read as the start of a template list, so it keeps its parentheses. */
export const argument = (text: string): string => (/[<>]/.test(text) ? text : bare(text))
