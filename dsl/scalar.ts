/**
 * Functions for use inside scalar functions, beside the operators and `Math`.
 *
 *     mapTo("u32", (x) => bits(x) & 0x7f800000, logits)     the exponents, without a comparison that a shader compiler could fold
 *
 * A scalar function is read, not called: each of these is an operation of the compiler, and calling one in TypeScript is a mistake.
 * To TypeScript all numbers are `number`; the compiler knows f32, i32 and u32 apart and refuses to mix them without a conversion.
 */
import { WeftError } from "../runtime/errors.js"

function onlyInside(name: string): never {
  throw new WeftError(
    "scalar/called",
    `${name}() is an operation for scalar functions such as map((x) => ${name}(x), t); it cannot be called`,
    { hint: "write it in a function that is handed to the language, which reads it" },
  )
}

/**
 * The 32 bits of an f32, as u32.
 *
 * @throws `scalar/called`, always: it is read in a scalar function, and never called
 */
export function bits(_x: number): number {
  return onlyInside("bits")
}

/**
 * The f32 with the bits of a u32.
 *
 * @throws `scalar/called`, always: it is read in a scalar function, and never called
 */
export function fromBits(_x: number): number {
  return onlyInside("fromBits")
}

/**
 * Any number or truth value as f32, rounded to nearest even.
 *
 * @throws `scalar/called`, always: it is read in a scalar function, and never called
 */
export function toF32(_x: number | boolean): number {
  return onlyInside("toF32")
}

/**
 * Any number or truth value as i32: truncated and saturated, NaN becomes 0; a u32 keeps its bits.
 *
 * @throws `scalar/called`, always: it is read in a scalar function, and never called
 */
export function toI32(_x: number | boolean): number {
  return onlyInside("toI32")
}

/**
 * Any number or truth value as u32: truncated and saturated, NaN becomes 0; an i32 keeps its bits.
 *
 * @throws `scalar/called`, always: it is read in a scalar function, and never called
 */
export function toU32(_x: number | boolean): number {
  return onlyInside("toU32")
}
