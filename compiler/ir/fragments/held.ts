/**
 * What halves hold as it is: values of f32 whose last 16 bits are zeros, which bf16 does not round.
 *
 *   fromBits(code << 16 | 0x43000000)   f32(word & 15)   x[k], where x is stored so   −y, of such a y
 */
import { apply, isLiteral, literal } from "../expression.js"
import type { Expression } from "../nodes.js"

/** Whether bf16 holds each value as it is; `isHalf` says it of what is read. */
export function isHeldByHalves(x: Expression, isHalf: (read: Expression) => boolean): boolean {
  const held = (y: Expression) => isHeldByHalves(y, isHalf)
  switch (x.kind) {
    case "literal":
      return x.dtype === "f32" && halfOf(x.value) === x.value
    case "vector":
      return x.args.every(held)
    case "splat":
    case "lane":
      return held(x.of)
    case "operation":
      break
    default:
      return x.dtype === "f32" && isHalf(x)
  }
  const [p, q] = x.args
  switch (x.operation) {
    case "neg":
    case "abs":
      return held(p!)
    case "select":
      return x.args.slice(1).every(held)
    case "mul":
      return isLiteral(q!) && Number.isInteger(Math.log2(Math.abs(q.value))) && held(p!)
    case "sub":
      // Integers, both of one sign.
      return Math.max(mostOfBits(p!), mostOfBits(q!)) <= 256
    case "toF32":
      return mostOf(p!) <= 256 || isSignedByte(p!)
    case "fromBits":
      return endsInZeros(p!)
    default:
      return false
  }
}

/** A number with the bits alone that a bf16 has. */
function halfOf(x: number): number {
  const bits = new DataView(new ArrayBuffer(4))
  bits.setFloat32(0, x)
  bits.setUint16(2, 0)
  return bits.getFloat32(0)
}

/** i32(word << 24 − 8 i) >> 24. */
const isSignedByte = (x: Expression): boolean =>
  x.kind === "operation" && x.operation === "shr" && x.dtype === "i32" && isLiteral(x.args[1]!) && x.args[1].value >= 24

/** Whether the last 16 bits are zeros. */
function endsInZeros(x: Expression): boolean {
  if (x.kind === "splat") return endsInZeros(x.of)
  if (isLiteral(x)) return x.dtype === "u32" && x.value % 65536 === 0
  if (x.kind !== "operation" || x.dtype !== "u32") return false
  const [p, q] = x.args
  switch (x.operation) {
    case "shl":
      return isLiteral(q!) && q.value >= 16 && q.value < 32
    case "bitand":
      return endsInZeros(p!) || endsInZeros(q!)
    case "bitor":
    case "add":
      return endsInZeros(p!) && endsInZeros(q!)
    default:
      return false
  }
}

/** fromBits(x << 16 | 0x43000000), of x below 129: 128 + x, or 256. */
function mostOfBits(x: Expression): number {
  const bits = x.kind === "operation" && x.operation === "fromBits" ? x.args[0]! : undefined
  const [field, rest] = (bits && argumentsOf(bits, "bitor")) ?? []
  const [of, by] = (field && argumentsOf(field, "shl")) ?? []
  const isBeside = rest !== undefined && isLiteral(rest) && rest.value === 0x43000000
  return isBeside && by !== undefined && isLiteral(by) && by.value === 16 && mostOf(of!) <= 128
    ? 128 + mostOf(of!)
    : Number.POSITIVE_INFINITY
}

/** What an integer is at most, as its last operation shows. */
export function mostOf(x: Expression): number {
  if (x.kind !== "operation") return Number.POSITIVE_INFINITY
  const [p, q] = x.args
  if (x.operation === "bitand" && isLiteral(q!)) return q.value
  if (x.operation === "shl" && isLiteral(q!)) return mostOf(p!) * 2 ** q.value
  if (x.operation === "bitor") {
    // Bits side by side.
    const [a, b] = [mostOf(p!), mostOf(q!)]
    return 2 ** Math.max(Math.ceil(Math.log2(a + 1)), Math.ceil(Math.log2(b + 1))) - 1
  }
  return Number.POSITIVE_INFINITY
}

/** A word of two halves: as it is, or both times a power of two, or less those of another word. */
export interface HalvesWord {
  readonly word: Expression
  readonly by?: number
  readonly less?: Expression
}

/**
 * Two values that bf16 holds as one word, where both are made of integers: fields of words that are 16 bits apart are taken together.
 *
 *   fromBits((w & 15) << 16 | 0x43000000), fromBits((w >> 16 & 15) << 16 | 0x43000000)   →   w & 0x000f000f | 0x43004300
 */
export function wordOf(pair: Expression): HalvesWord | undefined {
  if (pair.kind !== "vector" || pair.args.length !== 2) return undefined
  const [low, high] = pair.args as readonly [Expression, Expression]
  const scaled = both(low, high, "mul")
  if (scaled !== undefined && isLiteral(scaled[1]) && scaled[1] === scaled[3]) {
    const word = wordOfBits(scaled[0], scaled[2])
    return word && { word, by: scaled[1].value }
  }
  const difference = both(low, high, "sub")
  if (difference === undefined) {
    const word = wordOfBits(low, high)
    return word && { word }
  }
  const [word, less] = [wordOfBits(difference[0], difference[2]), wordOfBits(difference[1], difference[3])]
  return word && less && { word, less }
}

function wordOfBits(first: Expression, second: Expression): Expression | undefined {
  const [low, high] = [first, second].map((x) => (x.width === 1 ? argumentsOf(x, "fromBits")?.[0] : undefined))
  return low === undefined || high === undefined ? undefined : upperHalves(low, high)
}

const u32 = (x: number) => literal(x >>> 0, "u32")
const argumentsOf = (x: Expression, operation: string): readonly Expression[] | undefined =>
  x.kind === "operation" && x.operation === operation ? x.args : undefined
const both = (p: Expression, q: Expression, operation: string) => {
  const [a, b] = [argumentsOf(p, operation), argumentsOf(q, operation)]
  return a === undefined || b === undefined ? undefined : ([a[0]!, a[1]!, b[0]!, b[1]!] as const)
}

/** low >> 16 | high, of which the last 16 bits are zeros. */
function upperHalves(low: Expression, high: Expression): Expression {
  if (isLiteral(low) && isLiteral(high)) return u32((low.value >>> 16) | high.value)
  const joined = both(low, high, "bitor")
  if (joined !== undefined) return apply("bitor", upperHalves(joined[0], joined[2]), upperHalves(joined[1], joined[3]))
  const moved = both(low, high, "shl")
  if (moved !== undefined && isLiteral(moved[1]) && moved[1] === moved[3] && moved[1].value >= 16)
    return movedUp(lowerHalves(moved[0], moved[2]), moved[1].value - 16)
  return apply("bitor", apply("shr", low, u32(16)), high)
}

const shifted = (operation: "shl" | "shr", x: Expression, by: number) => (by === 0 ? x : apply(operation, x, u32(by)))

/** (x >> 8 & m) << 4   →   x >> 4 & m << 4. */
function movedUp(x: Expression, by: number): Expression {
  const [p, q] = argumentsOf(x, "bitor") ?? []
  if (p !== undefined && q !== undefined) return apply("bitor", movedUp(p, by), movedUp(q, by))
  const [of, mask] = argumentsOf(x, "bitand") ?? []
  const most = mask !== undefined && isLiteral(mask) ? mask.value * 2 ** by : Number.POSITIVE_INFINITY
  if (by === 0 || most >= 2 ** 32) return shifted("shl", x, by)
  const { word, at } = fieldIn(of!)
  return apply("bitand", at > by ? shifted("shr", word, at - by) : shifted("shl", word, by - at), u32(most))
}

/** low | high << 16, of numbers below 65,536. */
function lowerHalves(low: Expression, high: Expression): Expression {
  const joined = both(low, high, "bitor")
  if (joined !== undefined) return apply("bitor", lowerHalves(joined[0], joined[2]), lowerHalves(joined[1], joined[3]))
  const moved = both(low, high, "shl")
  if (moved !== undefined && isLiteral(moved[1]) && moved[1] === moved[3])
    return movedUp(lowerHalves(moved[0], moved[2]), moved[1].value)
  const masked = both(low, high, "bitand")
  if (masked !== undefined && isLiteral(masked[1]) && masked[1] === masked[3]) {
    const together = fieldsTogether(fieldIn(masked[0]), fieldIn(masked[2]), masked[1].value)
    if (together !== undefined) return apply("bitand", together, u32(masked[1].value * 65537))
    return apply("bitor", low, movedUp(high, 16))
  }
  return apply("bitor", low, apply("shl", high, u32(16)))
}

const fieldIn = (x: Expression) => {
  const by = x.kind === "operation" && x.operation === "shr" ? x.args[1]! : undefined
  return by !== undefined && isLiteral(by)
    ? { word: (x as { args: readonly Expression[] }).args[0]!, at: by.value }
    : { word: x, at: 0 }
}

interface FieldPlace {
  readonly word: Expression
  readonly at: number
}

/** A word with one field at its beginning and the other 16 bits behind; the rest are any bits. */
function fieldsTogether(low: FieldPlace, high: FieldPlace, mask: number): Expression | undefined {
  if (low.word === high.word && high.at === low.at + 16) return shifted("shr", low.word, low.at)
  const within = low.at % 16
  if (low.at !== high.at || mask * 2 ** within >= 65536) return undefined
  const upper = low.at >= 16
  const first = upper ? apply("shr", low.word, u32(16)) : apply("bitand", low.word, u32(0xffff))
  const second = upper ? apply("bitand", high.word, u32(0xffff0000)) : apply("shl", high.word, u32(16))
  return shifted("shr", apply("bitor", first, second), within)
}
