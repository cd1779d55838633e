/** Ranges of integer expressions, from those of the variables in them. */
import type { Expression } from "./nodes.js"

export interface Range {
  readonly low: number
  readonly high: number
}

export const everything: Range = { low: -2147483648, high: 2147483647 }

/** Bounds of an i32 expression; everything when it may wrap. */
export function rangeOf(x: Expression, ranges: ReadonlyMap<string, Range>): Range {
  const safe = (low: number, high: number): Range =>
    low < everything.low || high > everything.high ? everything : { low, high }
  if (x.kind === "literal") return { low: x.value, high: x.value }
  if (x.kind === "symbol") return { low: 0, high: x.max }
  if (x.kind === "variable") return ranges.get(x.name) ?? everything
  // A number that both types have is itself.
  if (x.kind === "operation" && x.operation === "toI32") return underMask(x.args[0]!)
  if (x.kind !== "operation" || x.dtype !== "i32" || x.args[0]!.dtype === "f32") return everything
  const args = (x.operation === "select" ? x.args.slice(1) : x.args).map((a) => rangeOf(a, ranges))
  const [a, b] = args as [Range, Range]
  switch (x.operation) {
    case "add":
      return safe(a.low + b.low, a.high + b.high)
    case "sub":
      return safe(a.low - b.high, a.high - b.low)
    case "mul": {
      const corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
      return safe(Math.min(...corners), Math.max(...corners))
    }
    case "min":
      return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) }
    case "max":
      return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) }
    case "select":
      return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) }
    case "floordiv":
    case "div":
      return a.low >= 0 && b.low > 0
        ? { low: Math.floor(a.low / b.high), high: Math.floor(a.high / b.low) }
        : everything
    case "floormod":
    case "rem":
      return a.low >= 0 && b.low > 0 ? { low: 0, high: Math.min(a.high, b.high - 1) } : everything
    case "bitand":
      return b.low === b.high && b.low >= 0 ? { low: 0, high: b.high } : everything
    default:
      return everything
  }
}

/** Bounds of a u32 expression, where a mask shows some that an i32 has. */
function underMask(x: Expression): Range {
  const mask = x.kind === "operation" && x.dtype === "u32" && x.operation === "bitand" ? x.args[1] : undefined
  return mask?.kind === "literal" && mask.value <= everything.high ? { low: 0, high: mask.value } : everything
}
