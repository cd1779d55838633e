/**
 * Numbers and parentheses as C-like languages have them.
 *
 *   0.1 (f32)      → 0.1          the shortest decimal that rounds to the same f32
 *   -3  (i32)      → (-3)
 *   1   (bool)     → true
 *   bare("(a + b)")       → a + b
 *   bare("(a) + (b)")     → (a) + (b)
 */
import type { Literal } from "../../ir/nodes.js"
import { largest } from "../../ir/operations.js"

/** A literal as text; how a float is spelled differs between languages. */
export function literalText({ dtype, value }: Literal, float: (value: number) => string): string {
  switch (dtype) {
    case "bool":
      return value === 0 ? "false" : "true"
    case "u32":
      return `${value}u`
    case "i32":
      return value < 0 ? `(${value})` : String(value)
    case "f32":
      return float(value)
    default:
      return dtype satisfies never
  }
}

/** The bits of a number as f32. */
export const bitsOf = (value: number): number => new Uint32Array(new Float32Array([value]).buffer)[0]!

/** The shortest decimal that is this f32; never one above the largest, even where it would round down to it. */
export function shortest(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits)
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

/** An index and a number. */
export const shifted = (index: string, by: number): string =>
  /^[0-9]+$/.test(index) ? String(Number(index) + by) : `${index} + ${by}`
