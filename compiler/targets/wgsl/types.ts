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
import type { DType } from "../../ir/operations.js"
import { bitsOf, literalText as commonText, shortest } from "../text/literals.js"

export function typeText(dtype: DType, width: number): string {
  return width === 1 ? dtype : `vec${width}<${dtype}>`
}

export const literalText = (x: Literal): string => commonText(x, floatText)

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
