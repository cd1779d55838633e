/**
 * Expressions as instructions that leave one value on the stack: a scalar, or one v128 of a vector.
 *
 *   part(f32 a[i] of width 4, 0)   →   v128.load
 *
 * A vector of up to 4 lanes is one part (unused lanes hold anything). One of 8 is two, its even lanes and its odd ones: halves of words come
 * apart by a shift and a mask, which is why such vectors exist. Values used more than once are kept in locals. The arms of a
 * select with a scalar condition, and the right side of a scalar `and` or `or`, are evaluated only when needed if they read memory.
 */
import { fault } from "../../../runtime/errors.js"
import { isLiteral, literal } from "../../ir/expression.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType, Operation } from "../../ir/operations.js"
import { splitAddress } from "./arrays.js"
import { distinctParts, type Emission, isStable, isTrivial } from "./emission.js"
import { type Context, extremum, reduceAngle, reduceAngles, remainder } from "./floats.js"
import { instructions, isFree } from "./instructions.js"
import { emitComplex, isComplex, nonNegative } from "./integers.js"
import { constant, extract, load, spread, upperHalves } from "./load.js"
import { arm, readsAnew, select } from "./select.js"
import { partsOf, typeOf } from "./values.js"
import { constantLanes, shiftedByBytes, sumsOfLanes } from "./vectors.js"

/** Pushes a part of `x`, from its local when it has one, into a new local when it is needed again. */
export function part(e: Emission, x: Expression, of = 0): void {
  const p = x.kind === "splat" ? 0 : of
  const found = e.values.find(x, p)
  if (found !== undefined) {
    e.code.get(found)
    return
  }
  compute(e, x, p)
  if ((e.uses.get(x) ?? 0) > 1 && !isTrivial(e, x))
    e.code.tee(e.values.keep(x, p, isStable(e, x) ? "structure" : "statement"))
}

/** Computes all parts of `x` into locals of the innermost structure. */
export function settle(e: Emission, x: Expression): void {
  for (let p = 0; p < distinctParts(x); p++) {
    if (e.values.find(x, p) !== undefined) continue
    e.values.within("statement", () => compute(e, x, p))
    e.code.set(e.values.keep(x, p, "structure"))
  }
}

function compute(e: Emission, x: Expression, p: number): void {
  const { code } = e
  const known = constantLanes(x)
  if (known !== undefined) {
    constant(code, known, x.dtype)
    return
  }
  switch (x.kind) {
    case "literal":
      if (x.dtype === "f32") code.float(x.value)
      else code.integer(x.value)
      return
    case "variable": {
      const local = e.variables.get(x.name)?.[p]
      if (local === undefined) throw fault(`no variable '${x.name}'`)
      code.get(local)
      return
    }
    case "symbol": {
      const local = e.symbols.get(x.name)
      if (local === undefined) throw fault(`the kernel does not list the symbol '${x.name}'`)
      code.get(local)
      return
    }
    case "operation":
      operation(e, x.operation, x.args, x.width, p)
      return
    case "fetch":
      load(e, x, p)
      return
    case "splat":
      splat(e, x.of, x.width)
      return
    case "ramp":
      part(e, x.of)
      code.op("i32x4.splat").integers(lanesOf(x.width, p).slice(0, 4))
      code.op("i32x4.add")
      return
    case "lane": {
      const eight = x.of.width === 8
      part(e, x.of, eight ? x.lane & 1 : 0)
      extract(code, x.dtype, eight ? x.lane >> 1 : x.lane)
      return
    }
    case "vector": {
      const whole = wholePart(x.args)
      if (whole !== undefined) part(e, whole.of, whole.part)
      else if (!sumsOfLanes(e, x.args)) {
        const args = lanesOf(x.width, p).flatMap((i) => x.args[i] ?? [])
        vector(e, args, x.dtype)
      }
      return
    }
    case "load":
    case "localRead":
    case "reduce":
    case "scan":
    case "component":
      throw fault(`'${x.kind}' is not in the loop language`)
    default:
      x satisfies never
  }
}

/** The lanes of a part, in their order. */
const lanesOf = (width: number, p: number): readonly number[] => [0, 1, 2, 3].map((i) => (width === 8 ? 2 * i + p : i))

/** The part of a vector of eight that some lanes are. */
function wholePart(args: readonly Expression[]): { readonly of: Expression; readonly part: 0 | 1 } | undefined {
  const [first] = args
  if (args.length !== 4 || first?.kind !== "lane" || first.of.width !== 8 || first.lane > 1) return undefined
  const { of, lane: from } = first
  const all = args.every((a, i) => a.kind === "lane" && a.of === of && a.lane === from + 2 * i)
  return all ? { of, part: from as 0 | 1 } : undefined
}

function splat(e: Emission, of: Expression, width: number): void {
  if (isLiteral(of)) {
    constant(e.code, [of.value], of.dtype)
    return
  }
  const place = of.kind === "fetch" ? e.places.get(of.array)! : undefined
  const once = (e.uses.get(of) ?? 0) <= partsOf(width)
  if (of.kind === "fetch" && place?.kind === "memory" && place.bytes === 4 && of.dtype !== "bool" && once) {
    const { address, immediate } = splitAddress(of.offset)
    part(e, address)
    e.code.memory("v128.load32_splat", immediate)
    return
  }
  part(e, of)
  spread(e.code, of.dtype)
}

function vector(e: Emission, args: readonly Expression[], dtype: DType): void {
  if (args.every(isLiteral)) {
    constant(
      e.code,
      args.map((a) => a.value),
      dtype,
    )
    return
  }
  const [first, ...rest] = args
  splat(e, first!, 1)
  rest.forEach((a, i) => {
    part(e, a)
    if (dtype === "bool") e.code.integer(-1).op("i32.mul")
    e.code.lane(dtype === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane", i + 1)
  })
}

function operation(e: Emission, name: Operation, args: readonly Expression[], width: number, p: number): void {
  const { code } = e
  const [a, b] = args
  const dtype = a!.dtype
  if (name === "select") {
    select(e, args, width, p)
    return
  }
  if (isFree(name, dtype, width)) {
    part(e, a!, p)
    return
  }
  if (width === 1 && (name === "and" || name === "or") && readsAnew(e, b!)) {
    part(e, a!)
    code.if("i32")
    arm(e, name === "and" ? b! : literal(1, "bool"), 0)
    code.else()
    arm(e, name === "and" ? literal(0, "bool") : b!, 0)
    code.end()
    return
  }
  if (width > 1 && (name === "shl" || name === "shr") && shiftedAlike(e, name, args, p)) return
  if (width === 4 && name === "shr" && dtype === "u32" && shiftedByBytes(e, args)) return
  if (dtype === "f32" && floats(e, name, args, width, p)) return
  if (name === "toF32" && dtype === "u32" && width > 1 && isBelowSign(a!)) {
    part(e, a!, p)
    code.op("f32x4.convert_i32x4_s")
    return
  }
  const direct = (width > 1 ? instructions.vector : instructions.scalar)[dtype][name]
  if (direct !== undefined) {
    for (const x of args) part(e, x, p)
    code.op(direct)
    return
  }
  if (width > 1 && dtype === "bool") {
    // A mask becomes the number 0 or 1.
    part(e, a!, p)
    constant(code, [1], name === "toF32" ? "f32" : "i32")
    code.op("v128.and")
    return
  }
  if (width > 1 && powerOfTwo(b) !== undefined && (name === "floordiv" || name === "floormod")) {
    const shiftBy = powerOfTwo(b)!
    part(e, a!, p)
    if (name === "floordiv") code.integer(shiftBy).op(dtype === "u32" ? "i32x4.shr_u" : "i32x4.shr_s")
    else code.integers([0, 0, 0, 0].map(() => 2 ** shiftBy - 1)).op("v128.and")
    return
  }
  if (!isComplex(name, dtype)) throw fault(`'${name}' of ${dtype} has no instructions`)
  const context: Context = { code, local: (type) => e.values.local(type) }
  if (width === 1) {
    const locals = args.map((x) => {
      if (isLiteral(x)) return x.value
      const local = e.values.local(typeOf(x.dtype, 1))
      part(e, x)
      code.set(local)
      return { local }
    })
    emitComplex(context, name, dtype, locals, nonNegative(a!, e.counters))
    return
  }
  lanewise(e, context, name, args, p, Math.min(4, width - 4 * p))
}

/** A shift of all lanes by the same; false where lanes differ. */
function shiftedAlike(e: Emission, name: "shl" | "shr", [a, b]: readonly Expression[], p: number): boolean {
  if (b!.kind !== "splat") return false
  if (name === "shl" && isLiteral(b!.of) && b!.of.value === 16 && upperHalves(e, a!, p)) return true
  if (name === "shl" && isLiteral(b!.of) && b!.of.value === 8 && bytesUp(e, a!, p)) return true
  part(e, a!, p)
  part(e, b!.of)
  e.code.op(name === "shl" ? "i32x4.shl" : a!.dtype === "u32" ? "i32x4.shr_u" : "i32x4.shr_s")
  return true
}

/** Whether a word is less than 2^31, as its masking says. */
function isBelowSign(x: Expression): boolean {
  const mask = x.kind === "operation" && x.operation === "bitand" ? x.args[1]! : undefined
  return mask?.kind === "splat" && isLiteral(mask.of) && mask.of.value < 2 ** 31
}

/** (words & 0x00ff00ff) << 8: the low bytes of halves become the high ones; false where the words are others. */
function bytesUp(e: Emission, x: Expression, p: number): boolean {
  if (x.kind !== "operation" || x.operation !== "bitand" || e.values.find(x, p) !== undefined) return false
  const mask = x.args[1]!
  if (mask.kind !== "splat" || !isLiteral(mask.of) || mask.of.value !== 0x00ff00ff) return false
  part(e, x.args[0]!, p)
  e.code.integer(8).op("i16x8.shl")
  return true
}

/** Operations of f32 that are no single instruction; false where `name` is another. */
function floats(e: Emission, name: Operation, args: readonly Expression[], width: number, p: number): boolean {
  const { code } = e
  const context: Context = { code, local: (type) => e.values.local(type) }
  const toLocal = (x: Expression): number => {
    const local = e.values.local(typeOf(x.dtype, width))
    part(e, x, p)
    code.set(local)
    return local
  }
  if (width > 1 && (name === "min" || name === "max")) extremum(code, name, args, (x) => part(e, x, p))
  else if (name === "isNaN") {
    const x = toLocal(args[0]!)
    code
      .get(x)
      .get(x)
      .op(width > 1 ? "f32x4.ne" : "f32.ne")
  } else if (name === "angle") {
    const x = toLocal(args[0]!)
    if (width > 1) reduceAngles(context, x, Math.min(4, width))
    else reduceAngle(context, x)
    code.get(x)
  } else if (name === "rem") {
    const [a, b] = args.map(toLocal) as [number, number]
    if (width === 1) remainder(context, a, b)
    else {
      const [x, y] = [0, 1].map(() => e.values.local("f32")) as [number, number]
      const result = e.values.local("v128")
      for (let lane = 0; lane < Math.min(4, width); lane++) {
        code.get(a).lane("f32x4.extract_lane", lane).set(x).get(b).lane("f32x4.extract_lane", lane).set(y)
        code.get(result)
        remainder(context, x, y)
        code.lane("f32x4.replace_lane", lane).set(result)
      }
      code.get(result)
    }
  } else return false
  return true
}

/** log2 of a literal (or splat literal) that is a power of two. */
function powerOfTwo(x: Expression | undefined): number | undefined {
  const of = x?.kind === "splat" ? x.of : x
  if (of === undefined || !isLiteral(of) || of.value <= 0) return undefined
  const log = Math.log2(of.value)
  return Number.isInteger(log) ? log : undefined
}

/** What has no vector form is done lane by lane. */
function lanewise(
  e: Emission,
  context: Context,
  name: Operation,
  args: readonly Expression[],
  p: number,
  lanes: number,
): void {
  const { code } = e
  const dtype = args[0]!.dtype
  const vectors = args.map((x) => {
    if (x.kind === "splat" && isLiteral(x.of)) return x.of.value
    const local = e.values.local("v128")
    part(e, x, p)
    code.set(local)
    return local
  })
  const literalAt = (i: number) => {
    const x = args[i]!
    return x.kind === "splat" && isLiteral(x.of)
  }
  const scalars = args.map((x) => e.values.local(typeOf(x.dtype, 1)))
  code.integers([0, 0, 0, 0])
  for (let lane = 0; lane < lanes; lane++) {
    const operands = vectors.map((v, i) => {
      if (literalAt(i)) return v
      code.get(v)
      extract(code, args[i]!.dtype, lane)
      code.set(scalars[i]!)
      return { local: scalars[i]! }
    })
    emitComplex(context, name, dtype, operands, false)
    code.lane(dtype === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane", lane)
  }
}
