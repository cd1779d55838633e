/**
 * What is promised to authors of each operation: how it is written, how near it comes, and what becomes of special values.
 *
 * The table in the language's README is made of this one, and a test holds the two together; other tests run every operation on every device
 * against `evaluate` (operations.ts), which is JavaScript's own at special values, and within `error`. All of it is about f32: integers have no
 * special values.
 */
import type { Operation } from "./operations.js"

export interface Promised {
  /** As an author writes it. */
  readonly written: string
  /** How far a result may be from the exact one, rounded to f32. `exact` is not at all. */
  readonly error: "exact" | { readonly units: number } | { readonly absolute: number }
  /** Where arguments or results are no ordinary numbers. */
  readonly special: string
}

/** In units of 2^-24 of the result: half of the distance of two neighbouring numbers, or all of it. */
const units = (n: number) => ({ units: n })

/** What an author writes; what the compiler makes for itself is left out. */
export const promises: Readonly<Partial<Record<Operation, Promised>>> = {
  add: { written: "`a + b`", error: "exact", special: "∞ − ∞ is NaN" },
  sub: { written: "`a - b`", error: "exact", special: "as `a + b`; x − x is NaN for x = ±∞" },
  mul: { written: "`a * b`, `Math.imul`", error: "exact", special: "0 · ∞ is NaN" },
  div: {
    written: "`a / b`",
    error: units(4),
    special: "x / 0 is ±∞, 0 / 0 and ∞ / ∞ are NaN",
  },
  rem: {
    written: "`a % b`",
    error: "exact",
    special: "sign of a, for all sizes; x % ∞ = x, ∞ % x and x % 0 are NaN",
  },
  neg: { written: "`-a`", error: "exact", special: "turns the sign of 0, too" },
  min: { written: "`Math.min`", error: "exact", special: "NaN if one is; −0 is less than 0. `Math.min()` is ∞" },
  max: { written: "`Math.max`", error: "exact", special: "NaN if one is; −0 is less than 0. `Math.max()` is −∞" },
  abs: { written: "`Math.abs`", error: "exact", special: "the sign of 0, too" },
  sign: { written: "`Math.sign`", error: "exact", special: "0 and −0 stay, NaN is NaN" },
  floor: { written: "`Math.floor`", error: "exact", special: "±∞ and −0 stay" },
  ceil: { written: "`Math.ceil`", error: "exact", special: "±∞ and −0 stay; −0 between −1 and 0" },
  trunc: { written: "`Math.trunc`", error: "exact", special: "±∞ and −0 stay" },
  sqrt: { written: "`Math.sqrt`", error: units(4), special: "NaN below 0; √−0 = −0, √∞ = ∞" },
  exp: {
    written: "`Math.exp`",
    error: units(16),
    special: "∞ above 88.73; below −87.34 results are subnormal or 0; e^−∞ = 0",
  },
  log: { written: "`Math.log`", error: units(16), special: "log 0 and log −0 are −∞, NaN below 0, log ∞ = ∞" },
  sin: {
    written: "`Math.sin`",
    error: { absolute: 1e-6 },
    special: "every finite angle; NaN at ±∞; either zero at −0",
  },
  cos: { written: "`Math.cos`", error: { absolute: 1e-6 }, special: "every finite angle; NaN at ±∞" },
  tanh: { written: "`Math.tanh`", error: units(32), special: "±1 at ±∞; −0 stays" },
  pow: {
    written: "`Math.pow`, `a ** b`",
    error: units(64),
    special:
      "x ** 0 = 1, also for NaN; (±1) ** ±∞ and 1 ** NaN are NaN; NaN for a negative base and a fractional exponent",
  },
  lt: { written: "`<` `<=` `>` `>=`", error: "exact", special: "false where one is NaN; −0 equals 0" },
  eq: { written: "`===`", error: "exact", special: "false where one is NaN; −0 equals 0" },
  ne: { written: "`!==`", error: "exact", special: "true where one is NaN" },
  select: { written: "`c ? a : b`", error: "exact", special: "what is not chosen does not matter, NaN or not" },
  bits: { written: "`bits`, `fromBits`", error: "exact", special: "which of its bits a NaN has is not said" },
  toF32: { written: "`toF32`", error: "exact", special: "integers are rounded to nearest even" },
  toI32: { written: "`toI32`", error: "exact", special: "truncated, NaN is 0; saturates at −2^31 and 2^31 − 1" },
  toU32: { written: "`toU32`", error: "exact", special: "truncated, NaN is 0; saturates at 0 and 2^32 − 1" },
}

/** The rows of the table, as Markdown. */
export function promisesTable(): readonly (readonly string[])[] {
  return Object.values(promises).map(({ written, error, special }) => [
    written.replaceAll("|", "\\|"),
    error === "exact" ? "none" : "units" in error ? `${error.units} · 2^-24` : `${error.absolute} (absolute)`,
    special.replaceAll("|", "\\|"),
  ])
}
